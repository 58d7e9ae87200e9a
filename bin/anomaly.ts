import yargs, { type Argv } from 'yargs'
import { AppError, messageOf } from '../lib/errors.ts'
import { didYouMean } from '../lib/pipeline/did-you-mean.ts'
import { exitOnUnhandled } from '../lib/unhandled.ts'
import { version } from '../lib/version.ts'

// Commands are imported where they run: `anomaly --help` must not wait for servers and mathematics that it does not need.

const pipelineFile = {
  alias: 'f',
  type: 'string',
  demandOption: true,
  requiresArg: true,
  describe: 'File with the AnomalyPipeline',
} as const
const input = {
  type: 'string',
  array: true,
  requiresArg: true,
  describe: 'File or glob with events, one a line (JSONL, CSV, also .gz); - is standard input. May be repeated',
} as const
const format = {
  choices: ['jsonl', 'csv'] as const,
  describe: "Format of the input; by default by the file's extension, JSONL where it has none",
}
const delimiter = {
  type: 'string',
  requiresArg: true,
  describe: 'What parts the fields of CSV: a character, or tab; by default found by the header',
} as const
const seed = { type: 'number', default: 1, requiresArg: true, describe: 'Seed of everything random' } as const
const rejects = {
  type: 'string',
  requiresArg: true,
  describe: 'File for the events that cannot be read, with the reasons',
} as const
const logLevel = {
  choices: ['debug', 'info', 'warn', 'error', 'silent'] as const,
  default: 'info' as const,
  describe: 'Least severe log line to write',
}

const probesPort = {
  type: 'number',
  default: 9090,
  requiresArg: true,
  describe: 'Port of /livez, /readyz, /metrics and /status; 0 takes a free one',
} as const
const redis = {
  'redis-url': {
    type: 'string',
    default: 'redis://localhost:6379',
    requiresArg: true,
    describe: 'redis:// or rediss://[user:password@]host[:port][/database]',
  },
  'redis-ca-file': {
    type: 'string',
    requiresArg: true,
    describe: 'Authorities (PEM) that sign the certificate of Redis',
  },
  'redis-cert-file': { type: 'string', requiresArg: true, describe: 'Client certificate (PEM) for Redis' },
  'redis-key-file': { type: 'string', requiresArg: true, describe: 'Key (PEM) of that certificate' },
} as const
const kafka = {
  'kafka-ca-file': {
    type: 'string',
    requiresArg: true,
    describe: 'Authorities (PEM) that sign the certificates of the brokers',
  },
  'kafka-cert-file': { type: 'string', requiresArg: true, describe: 'Client certificate (PEM) for the brokers' },
  'kafka-key-file': { type: 'string', requiresArg: true, describe: 'Key (PEM) of that certificate' },
  'kafka-username-file': { type: 'string', requiresArg: true, describe: "File with the user's name, for SASL" },
  'kafka-password-file': { type: 'string', requiresArg: true, describe: "File with the user's password, for SASL" },
} as const
const inferenceAddress = {
  type: 'string',
  default: 'localhost:50051',
  requiresArg: true,
  describe: 'host:port of the inference service',
} as const
const otlpEndpoint = {
  type: 'string',
  requiresArg: true,
  describe: 'Receiver of traces over OTLP/HTTP, such as http://localhost:4318; no traces if absent',
} as const
const drainSeconds = {
  type: 'number',
  default: 3,
  requiresArg: true,
  describe: 'Time between SIGTERM and the end of the server; callers go elsewhere meanwhile',
} as const

// To yargs a dash is no value of a list.
const args = process.argv.slice(2)
for (let i = 0; i < args.length; i++) if (args[i] === '--input' && args[i + 1] === '-') args.splice(i, 2, '--input=-')

const cli: Argv = yargs(args)
  .scriptName('anomaly')
  .usage('Anomaly detection for Kafka on Kubernetes: learns what is normal and explains what is not.')
  .epilogue(
    `Use "$0 COMMAND --help" for more about a command.\nEvery flag may also be set in the environment: --log-level as ANOMALY_LOG_LEVEL.\n\n${closing('COMMAND [flags]')}`,
  )
  .env('ANOMALY')
  .strict()
  .strictCommands()
  .demandCommand(1, 'Name a command')
  .check(checkFlags)
  .command(
    'run',
    'Run a pipeline in this process, over a file or standard input, behind the REST API',
    (command) =>
      command
        .usage(
          'Run a whole pipeline in this process: events from files, standard input, the REST API or a simulation; verdicts to a file.\nAlerts are printed as they come where no verdicts go to standard output.',
        )
        .epilogue(
          closing(
            'run -f PIPELINE [flags]',
            ['Judge a file', '$0 run -f payments.yaml --input events.jsonl --output verdicts.jsonl --exit-at-end'],
            ['Judge a stream of lines', 'tail -f events.jsonl | $0 run -f payments.yaml --input - --output -'],
            ['The same after a week of past events', '$0 run -f payments.yaml --history week.jsonl.gz --input -'],
            ['Only answer on http://localhost:8080/api/v1/detect', '$0 run -f payments.yaml'],
          ),
        )
        .options({
          file: pipelineFile,
          input,
          history: {
            type: 'string',
            array: true,
            requiresArg: true,
            describe:
              'Learn the events of this file first, as fast as it goes, and give no verdicts on them; may be given several times. With --simulate a duration such as 12h, 28d by default',
          },
          format,
          delimiter,
          output: {
            type: 'string',
            requiresArg: true,
            describe: 'File for the verdicts as JSONL; - is standard output',
          },
          rejects,
          port: {
            type: 'number',
            requiresArg: true,
            describe: 'Port of the REST API. 8080 by default, none with --exit-at-end; 0 takes a free one',
          },
          'probes-port': {
            type: 'number',
            requiresArg: true,
            describe:
              'Port of /livez, /readyz, /metrics and /status. 9090 by default, none with --exit-at-end; 0 takes a free one',
          },
          'exit-at-end': { type: 'boolean', default: false, describe: 'End with the input instead of serving on' },
          simulate: {
            type: 'boolean',
            default: false,
            describe: 'Take a simulated stream of card payments with known anomalies as input',
          },
          rate: { type: 'number', default: 500, requiresArg: true, describe: 'Simulated events a second' },
          seconds: { type: 'number', requiresArg: true, describe: 'End the simulation after so many seconds' },
          seed,
          'log-level': logLevel,
        }),
    async (args) => (await import('../workloads/local/run-command.ts')).runCommand(args),
  )
  .command(
    'backtest',
    'Run a pipeline over past data and report what it would have found',
    (command) =>
      command
        .usage(
          'Run a pipeline over past data as fast as it goes: the same learning and scoring as on a live stream.\nThe same input and seed give the same verdicts to the byte.\nRows of several files take turns by their position. An event without an id is row-N; FILE:row-N where there are several files, or where each is a key ($source).',
        )
        .epilogue(
          closing(
            'backtest -f PIPELINE --input FILE [flags]',
            ['One verdict a line', '$0 backtest -f payments.yaml --input events.jsonl --output verdicts.jsonl'],
            ['Each file a series', "$0 backtest -f timeseries.yaml --input 'metrics/*.csv' --report report.html"],
            ['Measure against labels', '$0 backtest -f tabular.yaml --input http.csv.gz --label label'],
          ),
        )
        .options({
          file: pipelineFile,
          input: { ...input, demandOption: true },
          format,
          delimiter,
          output: {
            type: 'string',
            requiresArg: true,
            describe: 'File for the verdicts as JSONL; - is standard output',
          },
          label: {
            type: 'string',
            requiresArg: true,
            describe: 'Field with the truth, 0 or 1, dotted where nested; never a feature',
          },
          report: { type: 'string', requiresArg: true, describe: 'HTML file for the report' },
          rejects,
          seed,
        }),
    async (args) => (await import('../workloads/backtest/backtest-command.ts')).backtestCommand(args),
  )
  .command(
    'replay',
    'Send the events of a file, or simulated ones, to a running pipeline',
    (command) =>
      command
        .usage(
          'Send the events of a file, or simulated ones, to a running pipeline: to its REST API, or to its topic. Or as JSONL to\nstandard output.',
        )
        .epilogue(
          closing(
            'replay (--input FILE | --simulate) (--to URL|- | --brokers HOST:PORT --topic TOPIC) [flags]',
            ['500 events a second', '$0 replay --input events.jsonl --to http://localhost:8080 --rate 500'],
            [
              'As fast as Kafka takes them',
              '$0 replay --input events.jsonl --brokers localhost:9092 --topic anomaly-events',
            ],
            [
              'Simulated payments, for the pipeline payments.yaml',
              '$0 replay --simulate --events 20000 --rate 500 --brokers localhost:9092 --topic payments',
            ],
          ),
        )
        .options({
          input,
          format,
          delimiter,
          simulate: {
            type: 'boolean',
            default: false,
            describe: 'Send card payments with anomalies among them: now, and each run with ids of its own',
          },
          seed,
          events: {
            type: 'number',
            requiresArg: true,
            describe: 'End the simulation after so many events; without this and --seconds it ends with the process',
          },
          seconds: { type: 'number', requiresArg: true, describe: 'End the simulation after so many seconds' },
          to: { type: 'string', requiresArg: true, describe: 'URL of the API; - is standard output' },
          brokers: { type: 'string', requiresArg: true, describe: 'host:port of Kafka, several with commas' },
          topic: { type: 'string', requiresArg: true, describe: 'Topic to write to, with --brokers' },
          results: {
            type: 'string',
            default: 'anomaly-results',
            requiresArg: true,
            describe: 'Topic of the verdicts: if it exists, the run ends with how many of its events were judged',
          },
          'kafka-tls': {
            type: 'boolean',
            default: false,
            describe: 'Connections to the brokers use TLS, even without one of the files below',
          },
          'kafka-sasl-mechanism': {
            choices: ['Plain', 'ScramSha256', 'ScramSha512'] as const,
            requiresArg: true,
            describe: 'How to log in to the brokers, with the two files below',
          },
          ...kafka,
          key: {
            type: 'string',
            default: 'userId',
            requiresArg: true,
            describe: "Field of the events that is their records' key, dotted where nested, with --brokers",
          },
          rate: { type: 'number', requiresArg: true, describe: 'Events a second; as fast as it goes if absent' },
        }),
    async (args) => (await import('../workloads/replay/replay-command.ts')).replayCommand(args),
  )
  .command(
    'watch',
    'Print the verdicts of a pipeline as they are published',
    (command) =>
      command
        .usage(
          'Print the verdicts of a pipeline as its consumers publish them to Kafka, one a line, until it is ended.',
        )
        .epilogue(
          closing('watch -f PIPELINE [flags]', [
            'Alerts, those of the past too',
            '$0 watch -f payments.yaml --alerts --from-beginning',
          ]),
        )
        .options({
          file: pipelineFile,
          alerts: { type: 'boolean', default: false, describe: 'Only verdicts that alert' },
          'from-beginning': { type: 'boolean', default: false, describe: 'First those that are there already' },
          // In the environment of every pod of a pipeline, where this command may be run.
          'redis-url': { type: 'string', hidden: true },
          ...kafka,
        }),
    async (args) => (await import('../workloads/watch/watch-command.ts')).watchCommand(args),
  )
  .command(
    'init <input>',
    'Write a pipeline for a file of events',
    (command) =>
      command
        .usage(
          'Look at the first events of a CSV or JSONL file, guess which field is what, and write a pipeline with comments.',
        )
        .epilogue(
          closing('init FILE [flags]', [
            'And try it at once',
            '$0 init events.csv > pipeline.yaml && $0 backtest -f pipeline.yaml --input events.csv',
          ]),
        )
        .positional('input', {
          type: 'string',
          demandOption: true,
          describe: 'File with events (JSONL, CSV, also .gz)',
        })
        .options({
          format,
          delimiter,
          output: { type: 'string', requiresArg: true, describe: 'File for the pipeline; standard output if absent' },
        }),
    async (args) => (await import('../workloads/init/init-command.ts')).initCommand(args),
  )
  .command(
    'crd',
    'Print the CustomResourceDefinition of AnomalyPipeline',
    (command) => command.usage('Print the CustomResourceDefinition, for kubectl apply -f -').epilogue(closing('crd')),
    async () => {
      const { crdYaml } = await import('../lib/pipeline/crd.ts')
      process.stdout.write(crdYaml())
    },
  )
  .command(
    'consumer',
    'Judge the events of a topic, exactly once',
    (command) =>
      command
        .usage(
          'Read the events of the pipeline from Kafka as a member of its group and publish a verdict for each, exactly once.',
        )
        .epilogue(
          closing('consumer -f PIPELINE [flags]', [
            'With Redis on localhost',
            '$0 consumer -f payments.yaml --inference localhost:50051',
          ]),
        )
        .options({
          file: pipelineFile,
          inference: inferenceAddress,
          'probes-port': probesPort,
          ...kafka,
          ...redis,
          'signing-key-file': {
            type: 'string',
            requiresArg: true,
            describe: 'Key with which the API signs verdicts; without it the consumer judges every event itself',
          },
          'schema-registry-username-file': {
            type: 'string',
            requiresArg: true,
            describe: "File with the user's name for the schema registry",
          },
          'schema-registry-password-file': {
            type: 'string',
            requiresArg: true,
            describe: "File with the user's password for the schema registry",
          },
          'state-mebibytes': {
            type: 'number',
            requiresArg: true,
            describe: 'Memory for the state of keys, in MiB; half of the limit of the container if absent, else 512',
          },
          'otlp-endpoint': otlpEndpoint,
          'log-level': logLevel,
        }),
    async (args) => (await import('../workloads/consumer/main.ts')).consumerCommand(args),
  )
  .command(
    'api',
    'Answer requests for verdicts over HTTP',
    (command) =>
      command
        .usage(
          'Answer POST /api/v1/detect by what the consumers have learnt and by the inference service, and send each event on to the topic with its verdict, signed.',
        )
        .epilogue(
          closing('api -f PIPELINE [flags]', [
            'With Redis on localhost',
            '$0 api -f payments.yaml --inference localhost:50051 --signing-key-file signing.key',
          ]),
        )
        .options({
          file: pipelineFile,
          port: { type: 'number', default: 8080, requiresArg: true, describe: 'Port of HTTP; 0 takes a free one' },
          host: { type: 'string', requiresArg: true, describe: 'Address to listen on; every one by default' },
          'probes-port': probesPort,
          inference: inferenceAddress,
          ...kafka,
          ...redis,
          'signing-key-file': {
            type: 'string',
            requiresArg: true,
            describe: 'Key for signing verdicts, the same as the consumers have: 16 bytes or more',
          },
          'token-dir': {
            type: 'string',
            requiresArg: true,
            describe: 'Folder in which each file is a bearer token; read again when it changes',
          },
          'token-file': { type: 'string', requiresArg: true, describe: 'File with a bearer token' },
          'drain-seconds': drainSeconds,
          'otlp-endpoint': otlpEndpoint,
          'log-level': logLevel,
        }),
    async (args) => (await import('../workloads/api/main.ts')).apiCommand(args),
  )
  .command(
    'inference',
    'Score rows for the consumers of a pipeline, and fit its models',
    (command) =>
      command
        .usage(
          'Score rows over gRPC: packed rows for the consumers, single events for any caller (DetectAnomaly). Learns from all of\nthem, refits the model, and follows the current one in Redis.',
        )
        .epilogue(
          closing('inference -f PIPELINE [flags]', [
            'Serve on port 50051',
            '$0 inference -f payments.yaml --redis-url redis://localhost:6379',
          ]),
        )
        .options({
          file: pipelineFile,
          port: { type: 'number', default: 50_051, requiresArg: true, describe: 'Port of gRPC; 0 takes a free one' },
          host: { type: 'string', requiresArg: true, describe: 'Address to listen on; every one by default' },
          'probes-port': probesPort,
          ...redis,
          replica: {
            type: 'string',
            requiresArg: true,
            describe: 'Name under which this replica keeps what it learns; host and port by default',
          },
          'drain-seconds': drainSeconds,
          'otlp-endpoint': otlpEndpoint,
          'log-level': logLevel,
        }),
    async (args) => (await import('../workloads/inference/main.ts')).inferenceCommand(args),
  )
  .command(
    'schema <action> [names..]',
    'List the features that a pipeline knows, or make it forget some',
    (command) =>
      command
        .usage(
          'List the names of the features that a pipeline knows, one a line, or make it forget some, so that there is room for\nothers. A name that is still sent becomes known again.',
        )
        .epilogue(
          closing('schema <list|forget> -f PIPELINE [flags]', [
            'Forget a feature that is sent no more',
            '$0 schema forget old-feature -f payments.yaml --redis-url redis://localhost:6379',
          ]),
        )
        .positional('action', { choices: ['list', 'forget'] as const, demandOption: true, describe: 'What to do' })
        .positional('names', { type: 'string', array: true, default: [], describe: 'Features to forget' })
        .options({ file: pipelineFile, ...redis, 'log-level': { ...logLevel, default: 'error' as const } }),
    async (args) => (await import('../workloads/schema/schema-command.ts')).schemaCommand(args),
  )
  .command(
    'operator',
    'Run pipelines on Kubernetes: make what each AnomalyPipeline asks for, and keep it so',
    (command) =>
      command
        .usage(
          'Watch AnomalyPipelines and run what each asks for. Where several operators run, one acts and the others stand by.\nThe cluster is that of the pod, or else of KUBECONFIG.',
        )
        .epilogue(
          closing('operator [flags]', [
            'On a laptop, for the cluster that kubectl uses',
            '$0 operator --workload-image registry.example.com/anomaly:1.0',
          ]),
        )
        .options({
          'workload-image': {
            type: 'string',
            demandOption: true,
            requiresArg: true,
            describe: 'Image of the workloads: the one of this operator',
          },
          'redis-image': {
            type: 'string',
            default: 'docker.io/library/redis:8.2-alpine',
            requiresArg: true,
            describe: 'Image of the managed Redis',
          },
          'image-pull-secrets': {
            type: 'string',
            requiresArg: true,
            describe: 'Secrets with which nodes pull both, separated by commas; in the namespace of each pipeline',
          },
          namespaces: {
            type: 'string',
            requiresArg: true,
            describe: 'Namespaces to watch, separated by commas; all of them by default',
          },
          'lease-namespace': {
            type: 'string',
            default: 'default',
            requiresArg: true,
            describe: 'Namespace of the Lease with which operators agree on the one that acts',
          },
          identity: {
            type: 'string',
            requiresArg: true,
            describe: 'Name of this process in the Lease; host and process by default',
          },
          concurrency: {
            type: 'number',
            default: 8,
            requiresArg: true,
            describe: 'Pipelines that are worked on at once',
          },
          'probes-port': probesPort,
          'otlp-endpoint': otlpEndpoint,
          'workload-otlp-endpoint': {
            type: 'string',
            requiresArg: true,
            describe: 'Receiver of the traces of the workloads; no traces if absent',
          },
          'workload-log-level': { ...logLevel, describe: 'Least severe log line of the workloads' },
          'log-level': logLevel,
        }),
    async (args) => (await import('../operator/main.ts')).operatorCommand(args),
  )
  .version('version', 'Show the version', version)
  .help('help', 'Show this help')
  .alias('h', 'help')
  .wrap(Math.min(120, process.stdout.columns ?? 100))
  .fail((message, error) => {
    if (error !== undefined && error.name !== 'YError') throw error
    const said = unknownVariable(message) ?? oneLine(message)
    throw new AppError('InvalidArgument', `${said}; see "anomaly ${commandOf(message)}--help"`)
  })

/** What kubectl has below the flags. yargs's own examples come in columns too narrow to copy a command from. */
function closing(usage: string, ...examples: readonly (readonly [what: string, command: string])[]): string {
  const shown = examples.map(([what, command]) => `  # ${what}\n  ${command}\n`).join('\n')
  return `${shown === '' ? '' : `Examples:\n${shown}\n`}Usage:\n  $0 ${usage}`
}

function checkFlags(flags: Readonly<Record<string, unknown>>): true {
  for (const [name, value] of Object.entries(flags)) {
    if (Number.isNaN(value)) throw new AppError('InvalidArgument', `--${name}: must be a number`)
    if (Array.isArray(value) && !['_', 'input', 'history', 'names'].includes(name))
      throw new AppError('InvalidArgument', `--${name}: may be given only once`)
  }
  return true
}

const prefix = 'ANOMALY_'

/** To yargs a variable is a flag, `ANOMALY_LOG_LEVEL` an argument `logLevel`. */
function unknownVariable(message: string): string | undefined {
  const names = /^Unknown arguments?: (.+)$/.exec(message)?.[1]?.split(', ') ?? []
  const plain = (name: string) => name.replaceAll(/[-_]/g, '').toLowerCase()
  const unknown = new Set(names.map(plain))
  const variable = Object.keys(process.env).find(
    (name) => name.startsWith(prefix) && unknown.has(plain(name.slice(prefix.length))),
  )
  if (variable === undefined) return undefined
  // Its types lack this method.
  const { key } = (cli as unknown as { getOptions(): { readonly key: object } }).getOptions()
  const flags = Object.keys(key).filter((name) => name.length > 1)
  const meant = didYouMean(
    variable.slice(prefix.length),
    flags.map((name) => name.replaceAll('-', '_').toUpperCase()),
  )
  return `Unknown environment variable: ${variable}${meant === undefined ? '' : ` (did you mean ${prefix}${meant}?)`}`
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' ')
}

function commandOf(message: string): string {
  const [first = ''] = process.argv.slice(2)
  return /^[a-z]+$/.test(first) && !message.startsWith('Unknown command') ? `${first} ` : ''
}

// Kubernetes describes every Service of a namespace in the environment: that of `anomaly-redis` must not pass for flags.
for (const [name, value] of Object.entries(process.env))
  if (
    /^ANOMALY_(.*_SERVICE_(HOST|PORT)|.*PORT_\d+_|SERVICE_)/.test(name) ||
    (/^ANOMALY_(.*_)?PORT$/.test(name) && /^\w+:/.test(value!))
  )
    delete process.env[name]

exitOnUnhandled(process)

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of a pipe that had enough, such as `head`, needs no words.
  if (error.code !== 'EPIPE') process.stderr.write(`anomaly: standard output: cannot be written: ${messageOf(error)}\n`)
  process.exit(1)
})

try {
  await cli.parseAsync()
} catch (error) {
  for (const line of messageOf(error).split('\n')) process.stderr.write(`anomaly: ${line}\n`)
  if (!(error instanceof AppError)) process.stderr.write(`${error instanceof Error ? error.stack : ''}\n`)
  process.exitCode = error instanceof AppError ? error.exitCode : 1
}

import { AppError } from '../../lib/errors.ts'
import { createLogger } from '../../lib/log.ts'
import { livePipeline } from '../../lib/pipeline/live-pipeline.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { durationMs } from '../../lib/time.ts'
import { checkOutputs } from '../files/check-outputs.ts'
import { delimiterArgument } from '../files/csv-header.ts'
import { type Format, inputFiles, sizeOfAll } from '../files/input-files.ts'
import { LineWriter } from '../files/line-writer.ts'
import { openSqliteHistory } from '../history/sqlite-history.ts'
import type { LocalPipeline } from '../judging/local-pipeline.ts'
import { portOf } from '../settings/port-of.ts'
import { formatDuration } from '../terminal/wording.ts'
import { namedFields } from '../wire/event-fields.ts'
import { fileFeed, simulatedFeeds } from './feeds.ts'
import { type History, run } from './run.ts'
import { createRunView, type RunView } from './run-view.ts'

export interface RunArguments {
  readonly file: string
  readonly input?: readonly string[] | undefined
  readonly history?: readonly string[] | undefined
  readonly format?: Format | undefined
  readonly delimiter?: string | undefined
  readonly output?: string | undefined
  readonly rejects?: string | undefined
  readonly historyDb?: string | undefined
  readonly notify: boolean
  readonly secretsFolder?: string | undefined
  readonly port?: number | undefined
  readonly probesPort?: number | undefined
  readonly exitAtEnd: boolean
  readonly simulate: boolean
  readonly rate: number
  readonly seconds?: number | undefined
  readonly seed: number
  readonly onnxFolder?: string | undefined
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent'
}

const simulatedHistory = '28d'

/** @throws AppError */
export async function runCommand(args: RunArguments): Promise<void> {
  checkArguments(args)
  const pipeline = await loadPipeline(args.file)
  checkNotifications(args, pipeline)
  const files = args.input === undefined ? undefined : inputFiles(args.input, args.format)
  const past = args.simulate || args.history === undefined ? undefined : inputFiles(args.history, args.format)
  const reading = { delimiter: delimiterArgument(args.delimiter), named: namedFields(pipeline.spec.event) }
  const serves = !args.exitAtEnd
  const port = args.port === undefined ? (serves ? 8080 : undefined) : portOf(args.port, 'port')
  const probesPort =
    args.probesPort === undefined ? (serves ? 9090 : undefined) : portOf(args.probesPort, 'probes-port')
  const log = await createLogger({ level: args.logLevel })
  const stop = new AbortController()
  checkOutputs({ output: args.output, rejects: args.rejects }, [...(past ?? []), ...(files ?? [])])
  const output = args.output === undefined ? undefined : new LineWriter(args.output)
  const rejects = args.rejects === undefined ? undefined : new LineWriter(args.rejects)

  const kept = args.historyDb === undefined ? undefined : openSqliteHistory(args.historyDb)

  let view: RunView
  let local: LocalPipeline | undefined
  let isLearning = past !== undefined || args.simulate
  const read = { past: 0, input: 0 }
  const historyMs = args.simulate ? historyMsOf(args.history?.[0] ?? simulatedHistory) : 0
  const simulation = args.simulate
    ? simulatedFeeds({
        ...args,
        historyMs,
        onPayment: (payment) => view.expect(payment),
        onEnd: () => stop.abort(),
      })
    : undefined
  const countInto = (part: 'past' | 'input') => (count: number) => {
    read[part] += count
  }
  const historyFeed = simulation?.history ?? (past && fileFeed(past, { ...reading, onBytes: countInto('past') }))
  const feed = simulation?.live ?? (files && fileFeed(files, { ...reading, onBytes: countInto('input') }))
  const history: History | undefined = historyFeed && {
    feed: historyFeed,
    onLearnt: (events) => view.learnt(events),
    onEnd: () => {
      isLearning = false
      view.live()
    },
  }
  const sizes = { past: past && sizeOfAll(past), input: files && sizeOfAll(files) }
  const bytesOf = (of: 'past' | 'input') => {
    const total = sizes[of]
    return total === undefined ? undefined : { over: read[of], total }
  }
  view = createRunView({
    pipeline,
    showsAlerts: output === undefined,
    simulated: args.simulate,
    history: args.simulate
      ? `the past ${formatDuration(historyMs / 1000)}`
      : past && `the events of ${args.history!.join(', ')}`,
    inputOf: () => {
      if (!isLearning) return bytesOf('input')
      return simulation === undefined ? bytesOf('past') : { over: simulation.fedMs(), total: historyMs }
    },
    stateOf: () => ({ keys: local?.partitions.keys ?? 0, modelVersion: local?.scorer.modelVersion ?? '' }),
  })
  try {
    await run({
      pipeline,
      onnxFolder: args.onnxFolder,
      live: serves ? livePipeline(args.file, pipeline, { log }) : undefined,
      log,
      feed,
      history,
      severalFiles: (files?.length ?? 0) + (past?.length ?? 0) > 1,
      output,
      rejects,
      kept,
      notify: args.notify ? { secretsFolder: args.secretsFolder } : undefined,
      port,
      probesPort,
      seed: args.seed,
      exitAtEnd: args.exitAtEnd,
      stop,
      onStarted: (addresses, started) => {
        local = started
        if (addresses.api !== undefined && kept !== undefined)
          process.stderr.write(`look at it on http://localhost:${addresses.api}/\n`)
        if (addresses.api !== undefined)
          log.info({ api: `http://localhost:${addresses.api}/api/v1/detect`, probes: addresses.probes }, 'ready')
      },
      onVerdict: (record, verdict, event) => view.verdict(record, verdict, event),
      onRejected: (record, rejection) => view.rejected(record, rejection),
    })
  } finally {
    view.close()
  }
  view.summary()
}

function checkArguments(args: RunArguments): void {
  const fail = (message: string): never => {
    throw new AppError('InvalidArgument', message)
  }
  if (args.simulate && args.input !== undefined) fail('--simulate and --input exclude one another')
  if (!(args.rate > 0)) fail(`--rate: ${args.rate} must be above 0`)
  if (args.seconds !== undefined && !args.simulate) fail('--seconds goes with --simulate')
  if (args.seconds !== undefined && !(args.seconds > 0)) fail(`--seconds: ${args.seconds} must be above 0`)
  if (args.exitAtEnd && args.input === undefined && !args.simulate) fail('--exit-at-end needs an end: name an --input')
  if (args.simulate && (args.history?.length ?? 0) > 1) fail('--history: give one duration with --simulate')
}

function checkNotifications({ notify, secretsFolder }: RunArguments, { spec }: Pipeline): void {
  if (secretsFolder !== undefined && !notify)
    throw new AppError('InvalidArgument', '--secrets-folder goes with --notify')
  if (!notify || (spec.notifications ?? []).length > 0) return
  throw new AppError('InvalidArgument', '--notify: the pipeline has no spec.notifications')
}

function historyMsOf(text: string): number {
  const ms = durationMs(text)
  if (ms !== undefined) return ms
  throw new AppError(
    'InvalidArgument',
    `--history ${text}: with --simulate it must be a duration such as 7d, 12h or 30m`,
  )
}

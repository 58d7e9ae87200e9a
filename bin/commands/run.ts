import { closing, defineCommand } from './define-command.ts'
import {
  delimiter,
  format,
  input,
  logLevel,
  onnxFolder,
  output,
  pipelineFile,
  rejects,
  secretsFolder,
  seed,
} from './flags.ts'

export const run = defineCommand({
  command: 'run',
  describe: 'Run a pipeline in this process, over a file or standard input, behind the REST API',
  builder: (command) =>
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
        output,
        rejects,
        'history-db': {
          type: 'string',
          requiresArg: true,
          describe:
            'Keep verdicts and episodes in this file of SQLite: the API answers about the past from it, and so does the next run',
        },
        notify: {
          type: 'boolean',
          default: false,
          describe: 'Tell the receivers of spec.notifications of episodes. Not of those in the history',
        },
        'secrets-folder': secretsFolder,
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
        'onnx-folder': onnxFolder,
        'log-level': logLevel,
      }),
  handler: async (args) => (await import('../../workloads/local/run-command.ts')).runCommand(args),
})

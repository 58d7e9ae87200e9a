import { closing, defineCommand } from './define-command.ts'
import { delimiter, format } from './flags.ts'

export const init = defineCommand({
  command: 'init <input>',
  describe: 'Write a pipeline for a file of events',
  builder: (command) =>
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
  handler: async (args) => (await import('../../workloads/init/init-command.ts')).initCommand(args),
})

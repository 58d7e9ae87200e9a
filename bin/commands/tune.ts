import { closing, defineCommand } from './define-command.ts'
import { delimiter, format, input, onnxFolder, pipelineFile, seed } from './flags.ts'

export const tune = defineCommand({
  command: 'tune',
  describe: 'Propose a better pipeline for past data, and say what in the data will hurt',
  builder: (command) =>
    command
      .usage(
        'Try a pipeline with other detectors and budgets on a sample of past data, show what each finds beside the others, and\nprint the document that is better beyond chance; where none is, the one given. Without labels, anomalies are put into\nthe sample, and those found at the same alert budget are counted. Labels are never learnt.',
      )
      .epilogue(
        closing(
          'tune -f PIPELINE --input FILE [flags]',
          [
            'A document for ten alerts a day',
            '$0 tune -f payments.yaml --input events.jsonl --alerts-per-day 10 > tuned.yaml',
          ],
          [
            'Against labels, with a report',
            '$0 tune -f payments.yaml --input events.csv --label fraud --report tune.html',
          ],
        ),
      )
      .options({
        file: pipelineFile,
        input: { ...input, demandOption: true },
        format,
        delimiter,
        label: {
          type: 'string',
          requiresArg: true,
          describe: 'Field with the truth, 0 or 1, dotted where nested; never a feature',
        },
        'alerts-per-day': {
          type: 'number',
          requiresArg: true,
          describe: 'Alerts that somebody can look at; makes the alert budget. It stays as it is if absent',
        },
        events: {
          type: 'number',
          default: 100_000,
          requiresArg: true,
          describe:
            'Events of the sample: those of some keys, or the first; of the input at most 20 times as many are read',
        },
        output: { type: 'string', requiresArg: true, describe: 'File for the document; standard output if absent' },
        report: { type: 'string', requiresArg: true, describe: 'HTML file for the report' },
        seed,
        'onnx-folder': onnxFolder,
      }),
  handler: async (args) => (await import('../../workloads/backtest/tune/tune-command.ts')).tuneCommand(args),
})

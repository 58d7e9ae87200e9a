import { closing, defineCommand } from './define-command.ts'
import { delimiter, format, input, onnxFolder, output, pipelineFile, rejects, seed } from './flags.ts'

export const backtest = defineCommand({
  command: 'backtest',
  describe: 'Run a pipeline over past data and report what it would have found',
  builder: (command) =>
    command
      .usage(
        'Run a pipeline over past data as fast as it goes: the same learning and scoring as on a live stream.\nThe same input and seed give the same verdicts to the byte.\nRows of several files take turns by their position. An event without an id is row-N; FILE:row-N where there are several files, or where each is a key ($source).',
      )
      .epilogue(
        closing(
          'backtest -f PIPELINE --input FILE [flags]',
          ['One verdict a line', '$0 backtest -f payments.yaml --input events.jsonl --output verdicts.jsonl'],
          ['Each file a series', "$0 backtest -f timeseries.yaml --input 'metrics/*.csv' --report report.html"],
          [
            'The same where each label is known a week later',
            '$0 backtest -f payments.yaml --input events.csv --label fraud --feedback-delay 7d',
          ],
          ['Measure against labels', '$0 backtest -f tabular.yaml --input http.csv.gz --label label'],
        ),
      )
      .options({
        file: pipelineFile,
        input: { ...input, demandOption: true },
        format,
        delimiter,
        output,
        label: {
          type: 'string',
          requiresArg: true,
          describe: 'Field with the truth, 0 or 1, dotted where nested; never a feature',
        },
        'feedback-delay': {
          type: 'string',
          requiresArg: true,
          describe:
            'Give the labels back as feedback so long after their events, such as 7d, 12h or 30m: anomalies as confirmed, alerts that were none as false alarms. With --label, for a pipeline with detection.feedback',
        },
        report: { type: 'string', requiresArg: true, describe: 'HTML file for the report' },
        rejects,
        seed,
        'onnx-folder': onnxFolder,
      }),
  handler: async (args) => (await import('../../workloads/backtest/backtest-command.ts')).backtestCommand(args),
})

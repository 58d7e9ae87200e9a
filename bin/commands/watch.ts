import { closing, defineCommand } from './define-command.ts'
import { kafka, pipelineFile } from './flags.ts'

export const watch = defineCommand({
  command: 'watch',
  describe: 'Print the verdicts of a pipeline as they are published',
  builder: (command) =>
    command
      .usage('Print the verdicts of a pipeline as its consumers publish them to Kafka, one a line, until it is ended.')
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
  handler: async (args) => (await import('../../workloads/watch/watch-command.ts')).watchCommand(args),
})

import { closing, defineCommand } from './define-command.ts'
import { kafka, pipelineFile } from './flags.ts'

export const watch = defineCommand({
  command: 'watch',
  describe: 'Print the verdicts of a pipeline as they are published',
  builder: (command) =>
    command
      .usage(
        'Print the verdicts of a pipeline as they are published, one a line, until it is ended: from its topic, or from its API.',
      )
      .epilogue(
        closing(
          'watch (-f PIPELINE | --url URL) [flags]',
          ['Alerts, those of the past too', '$0 watch -f payments.yaml --alerts --from-beginning'],
          ['What an API tells of, also that of "$0 run"', '$0 watch --url http://localhost:8080'],
        ),
      )
      .options({
        file: { ...pipelineFile, demandOption: false },
        url: { type: 'string', requiresArg: true, describe: 'Address of the API, in place of the file' },
        'token-file': { type: 'string', requiresArg: true, describe: 'File with a bearer token, for the API' },
        alerts: { type: 'boolean', default: false, describe: 'Only verdicts that alert' },
        'from-beginning': { type: 'boolean', default: false, describe: 'First those that are in the topic already' },
        // In the environment of every pod of a pipeline, where this command may be run.
        'redis-url': { type: 'string', hidden: true },
        ...kafka,
      }),
  handler: async (args) => (await import('../../workloads/watch/watch-command.ts')).watchCommand(args),
})

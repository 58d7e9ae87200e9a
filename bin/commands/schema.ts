import { closing, defineCommand } from './define-command.ts'
import { logLevel, pipelineFile, redis } from './flags.ts'

export const schema = defineCommand({
  command: 'schema [action] [names..]',
  describe: 'Print the JSON Schema of a pipeline; list its features, or forget some',
  builder: (command) =>
    command
      .usage(
        'Print the JSON Schema of a pipeline, list the features that a pipeline knows, or make it forget some.\nA name that is still sent becomes known again.',
      )
      .epilogue(
        closing(
          'schema [list|forget] [-f PIPELINE] [flags]',
          ['The JSON Schema, for `# yaml-language-server: $schema=…`', '$0 schema > pipeline.schema.json'],
          [
            'Forget a feature that is sent no more',
            '$0 schema forget old-feature -f payments.yaml --redis-url redis://localhost:6379',
          ],
        ),
      )
      .positional('action', {
        choices: ['print', 'list', 'forget'] as const,
        default: 'print' as const,
        describe: 'What to do',
      })
      .positional('names', { type: 'string', array: true, default: [], describe: 'Features to forget' })
      .options({
        file: {
          ...pipelineFile,
          demandOption: false,
          describe: 'File with the AnomalyPipeline whose features they are',
        },
        ...redis,
        'log-level': { ...logLevel, default: 'error' as const },
      }),
  handler: async (args) => (await import('../../workloads/schema/schema-command.ts')).schemaCommand(args),
})

import { closing, defineCommand } from './define-command.ts'
import { logLevel, pipelineFile, redis } from './flags.ts'

export const schema = defineCommand({
  command: 'schema <action> [names..]',
  describe: 'List the features that a pipeline knows, or make it forget some',
  builder: (command) =>
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
  handler: async (args) => (await import('../../workloads/schema/schema-command.ts')).schemaCommand(args),
})

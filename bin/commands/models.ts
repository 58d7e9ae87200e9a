import { closing, defineCommand } from './define-command.ts'
import { logLevel, pipelineFile, redis } from './flags.ts'

export const models = defineCommand({
  command: 'models',
  describe: 'List the models that a pipeline keeps, to pin one or let one challenge',
  builder: (command) =>
    command
      .usage(
        'List the models that a pipeline keeps in Redis, newest first: what each was fitted on, and what came of it beside the\nmodel that served. Their versions are what detection.model.pin and detection.model.challenger name.',
      )
      .epilogue(
        closing('models -f PIPELINE [flags]', [
          'With all that is known, a JSON object a line',
          '$0 models -f payments.yaml --redis-url redis://localhost:6379 --json',
        ]),
      )
      .options({
        file: pipelineFile,
        json: { type: 'boolean', default: false, describe: 'A JSON object a line' },
        ...redis,
        'log-level': { ...logLevel, default: 'error' as const },
      }),
  handler: async (args) => (await import('../../workloads/models/models-command.ts')).modelsCommand(args),
})

import { closing, defineCommand } from './define-command.ts'
import {
  inferenceAddress,
  kafka,
  logFormat,
  logLevel,
  otlpEndpoint,
  pipelineFile,
  probesPort,
  redis,
  schemaRegistry,
} from './flags.ts'

export const consumer = defineCommand({
  command: 'consumer',
  describe: 'Judge the events of a topic, exactly once',
  builder: (command) =>
    command
      .usage(
        'Read the events of the pipeline from Kafka as a member of its group and publish a verdict for each, exactly once.',
      )
      .epilogue(
        closing('consumer -f PIPELINE [flags]', [
          'With Redis on localhost',
          '$0 consumer -f payments.yaml --inference localhost:50051',
        ]),
      )
      .options({
        file: pipelineFile,
        inference: inferenceAddress,
        'probes-port': probesPort,
        ...kafka,
        ...redis,
        'signing-key-file': {
          type: 'string',
          requiresArg: true,
          describe: 'Key with which the API signs verdicts; without it the consumer judges every event itself',
        },
        ...schemaRegistry,
        'state-mebibytes': {
          type: 'number',
          requiresArg: true,
          describe: 'Memory for the state of keys, in MiB; half of the limit of the container if absent, else 512',
        },
        'otlp-endpoint': otlpEndpoint,
        'log-level': logLevel,
        'log-format': logFormat,
      }),
  handler: async (args) => (await import('../../workloads/consumer/main.ts')).consumerCommand(args),
})

import { closing, defineCommand } from './define-command.ts'
import {
  drainSeconds,
  inferenceAddress,
  kafka,
  logFormat,
  logLevel,
  otlpEndpoint,
  pipelineFile,
  postgres,
  probesPort,
  redis,
  schemaRegistry,
} from './flags.ts'

export const api = defineCommand({
  command: 'api',
  describe: 'Answer requests for verdicts over HTTP',
  builder: (command) =>
    command
      .usage(
        'Answer POST /api/v1/detect by what the consumers have learnt and by the inference service, and send each event on to the topic with its verdict, signed.',
      )
      .epilogue(
        closing('api -f PIPELINE [flags]', [
          'With Redis on localhost',
          '$0 api -f payments.yaml --inference localhost:50051 --signing-key-file signing.key',
        ]),
      )
      .options({
        file: pipelineFile,
        port: { type: 'number', default: 8080, requiresArg: true, describe: 'Port of HTTP; 0 takes a free one' },
        host: { type: 'string', requiresArg: true, describe: 'Address to listen on; every one by default' },
        'probes-port': probesPort,
        inference: inferenceAddress,
        ...kafka,
        ...redis,
        ...postgres,
        ...schemaRegistry,
        'signing-key-file': {
          type: 'string',
          requiresArg: true,
          describe: 'Key for signing verdicts, the same as the consumers have: 16 bytes or more',
        },
        'token-dir': {
          type: 'string',
          requiresArg: true,
          describe: 'Folder in which each file is a bearer token; read again when it changes',
        },
        'token-file': { type: 'string', requiresArg: true, describe: 'File with a bearer token' },
        peer: {
          type: 'string',
          array: true,
          requiresArg: true,
          describe:
            'ROLE=HOST:PORT of the probes of a role (consumer, inference, api, recorder), of whose /status the console tells. May be repeated',
        },
        'drain-seconds': drainSeconds,
        'otlp-endpoint': otlpEndpoint,
        'log-level': logLevel,
        'log-format': logFormat,
      }),
  handler: async (args) => (await import('../../workloads/api/main.ts')).apiCommand(args),
})

import { closing, defineCommand } from './define-command.ts'
import {
  drainSeconds,
  logFormat,
  logLevel,
  onnxFolder,
  otlpEndpoint,
  pipelineFile,
  probesPort,
  redis,
} from './flags.ts'

export const inference = defineCommand({
  command: 'inference',
  describe: 'Score rows for the consumers of a pipeline, and fit its models',
  builder: (command) =>
    command
      .usage(
        'Score rows over gRPC: packed rows for the consumers, single events for any caller (DetectAnomaly). Learns from all of\nthem, refits the model, and follows the current one in Redis.',
      )
      .epilogue(
        closing('inference -f PIPELINE [flags]', [
          'Serve on port 50051',
          '$0 inference -f payments.yaml --redis-url redis://localhost:6379',
        ]),
      )
      .options({
        file: pipelineFile,
        port: { type: 'number', default: 50_051, requiresArg: true, describe: 'Port of gRPC; 0 takes a free one' },
        host: { type: 'string', requiresArg: true, describe: 'Address to listen on; every one by default' },
        'probes-port': probesPort,
        ...redis,
        replica: {
          type: 'string',
          requiresArg: true,
          describe: 'Name under which this replica keeps what it learns; host and port by default',
        },
        'drain-seconds': drainSeconds,
        'onnx-folder': onnxFolder,
        'otlp-endpoint': otlpEndpoint,
        'log-level': logLevel,
        'log-format': logFormat,
      }),
  handler: async (args) => (await import('../../workloads/inference/main.ts')).inferenceCommand(args),
})

import { closing, defineCommand } from './define-command.ts'
import { logLevel, otlpEndpoint, probesPort } from './flags.ts'

export const operator = defineCommand({
  command: 'operator',
  describe: 'Run pipelines on Kubernetes: make what each AnomalyPipeline asks for, and keep it so',
  builder: (command) =>
    command
      .usage(
        'Watch AnomalyPipelines and run what each asks for. Where several operators run, one acts and the others stand by.\nThe cluster is that of the pod, or else of KUBECONFIG.',
      )
      .epilogue(
        closing('operator [flags]', [
          'On a laptop, for the cluster that kubectl uses',
          '$0 operator --workload-image registry.example.com/anomaly:1.0',
        ]),
      )
      .options({
        'workload-image': {
          type: 'string',
          demandOption: true,
          requiresArg: true,
          describe: 'Image of the workloads: the one of this operator',
        },
        'redis-image': {
          type: 'string',
          default: 'docker.io/library/redis:8.2-alpine',
          requiresArg: true,
          describe: 'Image of the managed Redis',
        },
        'image-pull-secrets': {
          type: 'string',
          requiresArg: true,
          describe: 'Secrets with which nodes pull both, separated by commas; in the namespace of each pipeline',
        },
        namespaces: {
          type: 'string',
          requiresArg: true,
          describe: 'Namespaces to watch, separated by commas; all of them by default',
        },
        'lease-namespace': {
          type: 'string',
          default: 'default',
          requiresArg: true,
          describe: 'Namespace of the Lease with which operators agree on the one that acts',
        },
        identity: {
          type: 'string',
          requiresArg: true,
          describe: 'Name of this process in the Lease; host and process by default',
        },
        concurrency: {
          type: 'number',
          default: 8,
          requiresArg: true,
          describe: 'Pipelines that are worked on at once',
        },
        'probes-port': probesPort,
        'otlp-endpoint': otlpEndpoint,
        'workload-otlp-endpoint': {
          type: 'string',
          requiresArg: true,
          describe: 'Receiver of the traces of the workloads; no traces if absent',
        },
        'workload-log-level': { ...logLevel, describe: 'Least severe log line of the workloads' },
        'log-level': logLevel,
      }),
  handler: async (args) => (await import('../../operator/main.ts')).operatorCommand(args),
})

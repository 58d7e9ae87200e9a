import { closing, defineCommand } from './define-command.ts'
import { logLevel } from './flags.ts'

const url = 'redis:// or rediss://[user:password@]host[:port][/database]'
const prefix = {
  type: 'string',
  default: '',
  requiresArg: true,
  describe:
    'What the names of its keys begin with: nothing in a managed Redis, anomaly:NAMESPACE:NAME: in an external one',
} as const
const caFile = {
  type: 'string',
  requiresArg: true,
  describe: 'Authorities (PEM) that sign its certificate',
} as const
const certFile = { type: 'string', requiresArg: true, describe: 'Client certificate (PEM) for it' } as const
const keyFile = { type: 'string', requiresArg: true, describe: 'Key (PEM) of that certificate' } as const

const example = [
  'From a managed Redis to one that several pipelines share',
  '$0 state copy --from redis://:password@localhost:6379 --to rediss://redis.example.com --to-prefix anomaly:shop:payments:',
] as const

const copy = defineCommand({
  command: 'copy',
  describe: 'Copy it from one Redis to another',
  builder: (command) =>
    command
      .usage(
        'Copy everything that a pipeline has learnt from one Redis to another, and read it back. The pipeline must be paused, and\nthe other Redis hold nothing of it. The operator does this by itself where state.redis is changed in the document.',
      )
      .epilogue(closing('state copy --from URL --to URL [flags]', example))
      .options({
        from: { type: 'string', demandOption: true, requiresArg: true, describe: `Where it is: ${url}` },
        'from-prefix': prefix,
        'from-ca-file': caFile,
        'from-cert-file': certFile,
        'from-key-file': keyFile,
        to: { type: 'string', demandOption: true, requiresArg: true, describe: `Where it is to be: ${url}` },
        'to-prefix': prefix,
        'to-ca-file': caFile,
        'to-cert-file': certFile,
        'to-key-file': keyFile,
        id: {
          type: 'string',
          requiresArg: true,
          describe: 'Name of this copy: under the same one, a copy that was finished is not made again',
        },
        // In the environment of every pod of a pipeline, where this command may be run.
        'redis-url': { type: 'string', hidden: true },
        'postgres-url': { type: 'string', hidden: true },
        'log-level': logLevel,
      }),
  handler: async (args) => (await import('../../workloads/copy/copy-command.ts')).copyCommand(args),
})

export const state = defineCommand({
  command: 'state',
  describe: 'Move what a pipeline has learnt',
  builder: (command) =>
    command
      .usage('Move what a pipeline has learnt.')
      .epilogue(closing('state COMMAND [flags]', example))
      .command(copy)
      .demandCommand(1, 'Name what to do: copy'),
  handler: () => {},
})

import { randomUUID } from 'node:crypto'
import { AppError } from '../../lib/errors.ts'
import { createLogger, type LoggerOptions } from '../../lib/log.ts'
import { redisTlsFiles } from '../settings/redis-settings.ts'
import { copyState, type StatePlace } from '../state/copy-state.ts'
import { redisAddressOf } from '../state/redis-address.ts'
import { createRedisConnection } from '../state/redis-connection.ts'

export interface CopyArguments {
  readonly from: string
  readonly fromPrefix: string
  readonly fromCaFile?: string | undefined
  readonly fromCertFile?: string | undefined
  readonly fromKeyFile?: string | undefined
  readonly to: string
  readonly toPrefix: string
  readonly toCaFile?: string | undefined
  readonly toCertFile?: string | undefined
  readonly toKeyFile?: string | undefined
  readonly id?: string | undefined
  readonly logLevel: NonNullable<LoggerOptions['level']>
}

/** A model, or some hundred profiles, over a slow line. */
const patienceMs = 60_000

/**
 * Copies what a pipeline has learnt from one Redis to another.
 * @throws AppError
 */
export async function copyCommand(args: CopyArguments): Promise<void> {
  const log = await createLogger({ level: args.logLevel })
  const signal = new AbortController().signal

  async function open(url: string, keyPrefix: string, tls: ReturnType<typeof redisTlsFiles>): Promise<StatePlace> {
    const deadlines = { bulkMs: patienceMs, silenceMs: patienceMs, startMs: 10_000 }
    const connection = createRedisConnection({ url, tls, log, ...deadlines })
    await connection.start(signal)
    const problem = connection.problem()
    if (problem === undefined) return { connection, keyPrefix, place: `Redis at ${redisAddressOf(url).place}` }
    await connection.stop()
    throw new AppError('Unavailable', problem)
  }

  const from = await open(
    args.from,
    args.fromPrefix,
    redisTlsFiles(args.fromCaFile, args.fromCertFile, args.fromKeyFile),
  )
  try {
    const to = await open(args.to, args.toPrefix, redisTlsFiles(args.toCaFile, args.toCertFile, args.toKeyFile))
    try {
      const keys = await copyState(from, to, { id: args.id ?? randomUUID(), log })
      const what = keys === undefined ? 'It had been copied before' : `Copied ${keys} keys and read them back`
      process.stdout.write(`${what}: from ${from.place} to ${to.place}\n`)
    } finally {
      await to.connection.stop()
    }
  } finally {
    await from.connection.stop()
  }
}

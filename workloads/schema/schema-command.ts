import { AppError } from '../../lib/errors.ts'
import { createLogger, type LoggerOptions } from '../../lib/log.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { type RedisArguments, redisSettingsOf } from '../settings/redis-settings.ts'
import { createRedisState } from '../state/redis.ts'

export interface SchemaArguments extends RedisArguments {
  readonly file: string
  readonly action: 'list' | 'forget'
  /** Of features to forget. */
  readonly names: readonly string[]
  readonly logLevel: NonNullable<LoggerOptions['level']>
}

/**
 * Lists the feature names of a pipeline, one a line, or makes it forget some.
 * @throws AppError
 */
export async function schemaCommand({ action, names, ...args }: SchemaArguments): Promise<void> {
  if ((action === 'forget') !== names.length > 0)
    throw new AppError(
      'InvalidArgument',
      'Name the features to forget, as in: anomaly schema forget a b; list has none',
    )
  const pipeline = await loadPipeline(args.file)
  const log = await createLogger({ level: args.logLevel })
  const store = createRedisState({ ...redisSettingsOf(pipeline, args), log })
  await store.start!(new AbortController().signal)
  try {
    const problem = store.problem()
    if (problem !== undefined) throw new AppError('Unavailable', problem)
    const lines = action === 'list' ? (await store.features.names()).filter((name) => name !== '') : await forget(names)
    process.stdout.write(lines.map((name) => `${name}\n`).join(''))
  } finally {
    await store.stop!()
  }

  async function forget(given: readonly string[]): Promise<readonly string[]> {
    const forgotten = await store.features.forget(given)
    const unknown = given.filter((name) => !forgotten.includes(name))
    if (unknown.length > 0) throw new AppError('NotFound', `The pipeline has no feature ${unknown.join(', ')}`)
    return forgotten
  }
}

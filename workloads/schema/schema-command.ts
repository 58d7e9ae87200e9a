import { AppError } from '../../lib/errors.ts'
import { createLogger, type LoggerOptions } from '../../lib/log.ts'
import { pipelineJsonSchemaText } from '../../lib/pipeline/json-schema.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { type RedisArguments, redisSettingsOf } from '../settings/redis-settings.ts'
import { createRedisState } from '../state/redis.ts'

export interface SchemaArguments extends RedisArguments {
  /** Whose features they are. */
  readonly file?: string | undefined
  readonly action: 'print' | 'list' | 'forget'
  /** Of features to forget. */
  readonly names: readonly string[]
  readonly logLevel: NonNullable<LoggerOptions['level']>
}

/**
 * Prints the JSON Schema of a pipeline, lists the names of its features, one a line, or makes it forget some.
 * @throws AppError
 */
export async function schemaCommand({ action, names, ...args }: SchemaArguments): Promise<void> {
  if ((action === 'forget') !== names.length > 0)
    throw new AppError(
      'InvalidArgument',
      'Name the features to forget, as in: anomaly schema forget a b; print and list have none',
    )
  if (action === 'print') return void process.stdout.write(pipelineJsonSchemaText())
  if (args.file === undefined) throw new AppError('InvalidArgument', `anomaly schema ${action} needs -f PIPELINE`)
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

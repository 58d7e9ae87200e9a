import { AppError } from '../../lib/errors.ts'
import { createLogger, type LoggerOptions } from '../../lib/log.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { shownRecord } from '../scoring/shown-record.ts'
import { type RedisArguments, redisSettingsOf } from '../settings/redis-settings.ts'
import { createRedisState } from '../state/redis.ts'
import { modelTable } from './model-table.ts'

export interface ModelsArguments extends RedisArguments {
  readonly file: string
  readonly json: boolean
  readonly logLevel: NonNullable<LoggerOptions['level']>
}

/**
 * Prints what is known of the models that a pipeline keeps, newest first.
 * @throws AppError
 */
export async function modelsCommand({ file, json, ...args }: ModelsArguments): Promise<void> {
  const pipeline = await loadPipeline(file)
  const log = await createLogger({ level: args.logLevel })
  const store = createRedisState({ ...redisSettingsOf(pipeline, args), log })
  await store.start!(new AbortController().signal)
  try {
    const problem = store.problem()
    if (problem !== undefined) throw new AppError('Unavailable', problem)
    const [records, current] = await Promise.all([store.models.records(), store.models.current()])
    const { model } = pipeline.spec.detection
    const lines = json
      ? records.map((record) => `${JSON.stringify(shownRecord(record))}\n`).join('')
      : modelTable(records, { current: current?.version, ...model })
    process.stdout.write(lines)
  } finally {
    await store.stop!()
  }
}

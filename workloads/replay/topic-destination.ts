import { AppError } from '../../lib/errors.ts'
import { createLogger } from '../../lib/log.ts'
import { type BrokerArguments, brokerSettingsOf } from '../settings/kafka-settings.ts'
import { type FieldReader, fieldReader } from '../wire/event-fields.ts'
import { writtenNumber } from '../wire/json-body.ts'
import { type Destination, noAnswers } from './destination.ts'
import { countVerdicts } from './verdict-count.ts'

export interface ReplayTopics {
  readonly topic: string
  /** Path of the field of the events that is the key of their records. */
  readonly key: string
  /** Topic of the verdicts, which are counted if it exists. */
  readonly results: string
}

/** Records with the event's key, so that a key's events stay in order. */
export async function topicDestination(args: BrokerArguments, topics: ReplayTopics): Promise<Destination> {
  const { topic, results } = topics
  const readKey = fieldReader(topics.key)
  const { openAdmin } = await import('../../lib/kafka/admin.ts')
  const { connectProducer } = await import('../../lib/kafka/producer.ts')
  const settings = brokerSettingsOf(args, 'anomaly-replay', await createLogger({ level: 'warn' }))
  const admin = openAdmin(settings)
  try {
    await admin.topicOffsets(topic)
  } catch (error) {
    if (error instanceof AppError && error.code === 'NotFound')
      throw new AppError('NotFound', `--topic: ${args.brokers.join(',')} has no topic ${topic}`, { cause: error })
    throw error
  } finally {
    admin.close()
  }
  const verdicts = await countVerdicts(settings, { events: topic, results }).catch((error: unknown) => {
    if (error instanceof AppError && error.code === 'NotFound') return undefined
    throw error
  })
  const producer = await connectProducer(settings)
  return {
    async send(events) {
      await producer.send(events.map((value) => ({ topic, key: keyOf(value, readKey), value })))
      verdicts?.sent(events)
      return noAnswers
    },
    ...(verdicts === undefined ? undefined : { finish: (signal) => verdicts.finish(signal) }),
    async close() {
      await producer.close()
      await verdicts?.stop()
    },
  }
}

/** What cannot be read has no key: the pipeline says why it refuses it. */
function keyOf(event: string, readKey: FieldReader): string | null {
  try {
    const read = (body: unknown) => readKey(body as Record<string, unknown>)
    const key = read(JSON.parse(event))
    if (typeof key === 'number') return Number.isSafeInteger(key) ? String(key) : writtenNumber(key, event, read)
    return typeof key === 'string' ? key : null
  } catch {
    return null
  }
}

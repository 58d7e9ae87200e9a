import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { kafkaErrorOf } from '../../lib/kafka/errors.ts'
import { tailTopic } from '../../lib/kafka/tail-topic.ts'
import { type LiveEvent, type LiveListener, type LiveSource, liveEpisode, liveVerdict } from '../rest/live-events.ts'

export interface PublishedTopics {
  readonly verdicts: string
  /** undefined where episodes are not published. */
  readonly episodes: string | undefined
}

/** What comes on the topics of verdicts and episodes: those of all consumers, of events of every door. */
export function publishedEvents(kafka: KafkaSettings, { verdicts, episodes }: PublishedTopics): LiveSource {
  return async (listener) => {
    const tails = [await tail(kafka, verdicts, liveVerdict, listener)]
    try {
      if (episodes !== undefined) tails.push(await tail(kafka, episodes, liveEpisode, listener))
    } catch (error) {
      void tails[0]!.stop()
      throw error
    }
    return { stop: async () => void (await Promise.all(tails.map((one) => one.stop()))) }
  }
}

async function tail(
  kafka: KafkaSettings,
  topic: string,
  read: (json: string) => LiveEvent | undefined,
  { onEvents, onEnd }: LiveListener,
) {
  const broken = (error: unknown) => kafkaErrorOf(error, `read ${topic}`)
  try {
    const tail = await tailTopic(
      kafka,
      topic,
      ({ records }) => onEvents(records.flatMap(({ value }) => read(String(value)) ?? [])),
      { from: 'Latest' },
    )
    tail.ended.catch((error) => {
      void tail.stop()
      onEnd(broken(error))
    })
    return tail
  } catch (error) {
    throw broken(error)
  }
}

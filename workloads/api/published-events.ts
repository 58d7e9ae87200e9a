import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { kafkaErrorOf } from '../../lib/kafka/errors.ts'
import type { StreamRecord } from '../../lib/kafka/records.ts'
import { tailTopic } from '../../lib/kafka/tail-topic.ts'
import { type LiveEvent, type LiveListener, type LiveSource, liveEpisode, liveVerdict } from '../rest/live-events.ts'
import { isOfPipeline } from '../wire/pipeline-header.ts'

export interface PublishedTopics {
  /** Whose they are: another may publish to the same topics. */
  readonly pipeline: string
  readonly verdicts: string
  /** undefined where episodes are not published. */
  readonly episodes: string | undefined
}

type ReadRecord = (record: StreamRecord) => LiveEvent | undefined

/** What comes on the topics of verdicts and episodes: those of all consumers, of events of every door. */
export function publishedEvents(kafka: KafkaSettings, { pipeline, verdicts, episodes }: PublishedTopics): LiveSource {
  const reader =
    (read: (json: string) => LiveEvent | undefined): ReadRecord =>
    ({ headers, value }) =>
      isOfPipeline(headers, pipeline) ? read(String(value)) : undefined
  return async (listener) => {
    const tails = [await tail(kafka, verdicts, reader(liveVerdict), listener)]
    try {
      if (episodes !== undefined) tails.push(await tail(kafka, episodes, reader(liveEpisode), listener))
    } catch (error) {
      void tails[0]!.stop()
      throw error
    }
    return { stop: async () => void (await Promise.all(tails.map((one) => one.stop()))) }
  }
}

async function tail(kafka: KafkaSettings, topic: string, read: ReadRecord, { onEvents, onEnd }: LiveListener) {
  const broken = (error: unknown) => kafkaErrorOf(error, `read ${topic}`)
  try {
    const tail = await tailTopic(
      kafka,
      topic,
      ({ records }) => onEvents(records.flatMap((record) => read(record) ?? [])),
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

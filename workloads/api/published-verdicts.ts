import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { kafkaErrorOf } from '../../lib/kafka/errors.ts'
import { tailTopic } from '../../lib/kafka/tail-topic.ts'
import { type LiveSource, liveVerdict } from '../rest/live-events.ts'

/** The verdicts that come on the results topic: those of all consumers, of events of every door. */
export function publishedVerdicts(kafka: KafkaSettings, topic: string): LiveSource {
  const broken = (error: unknown) => kafkaErrorOf(error, `read ${topic}`)
  return async ({ onEvents, onEnd }) => {
    try {
      const tail = await tailTopic(
        kafka,
        topic,
        ({ records }) => onEvents(records.flatMap(({ value }) => liveVerdict(String(value)) ?? [])),
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
}

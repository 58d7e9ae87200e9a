import { openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import type { Part } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/log.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { backoff, sleep } from '../../lib/time.ts'

/** Creates the pipeline's topics that do not exist, where the pipeline wants that; waits for Kafka. */
export function missingTopics({ spec }: Pipeline, kafka: KafkaSettings, log: Logger): Part {
  const { source, results, detection } = spec
  const topics = [
    ...[source.topic, results.topic, results.deadLetterTopic],
    ...[results.episodesTopic, detection.feedback?.topic],
  ].filter((topic) => topic !== undefined)
  return {
    name: 'topics',
    async start(signal) {
      if (source.createTopics.mode === 'Disabled') return
      const { partitions } = source.createTopics
      const admin = openAdmin(kafka)
      try {
        for (let failures = 1; !signal.aborted; failures++) {
          try {
            const created = await admin.createMissingTopics(topics.map((topic) => ({ topic, partitions })))
            if (created.length > 0) log.info({ created, partitions }, 'topics created')
            return
          } catch (error) {
            log.warn({ error }, 'topics cannot be looked up yet')
            await sleep(backoff(failures, { baseMs: 200, maxMs: 5000 }), { signal })
          }
        }
      } finally {
        admin.close()
      }
    },
  }
}

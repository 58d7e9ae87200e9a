import { messageOf } from '../../lib/errors.ts'
import type { KafkaAdmin, Offsets } from '../../lib/kafka/admin.ts'
import type { Part } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/log.ts'
import type { EventPlace } from '../state/state.ts'

export interface SourceTopicOptions {
  readonly topic: string
  readonly admin: Pick<KafkaAdmin, 'topicId' | 'topicOffsets' | 'close'>
  readonly log: Logger
  /** How often the topic is looked up, in ms; while it cannot be, at `failingEveryMs`. */
  readonly everyMs?: number | undefined
  readonly failingEveryMs?: number | undefined
}

export interface SourceTopic extends Part {
  /** undefined until it was looked up once. */
  partitions(): number | undefined
  /** Where the partition ended when it was looked up: what is sent from now on is there or behind it. */
  endOf(partition: number): EventPlace
  /** Why Kafka cannot be reached, in words. */
  problem(): string | undefined
  /** Something failed that needs Kafka: there is a problem until the topic has been looked up again. */
  suspect(reason: string): void
}

/** What is known of the topic of events, looked up in the background. */
export function createSourceTopic(options: SourceTopicOptions): SourceTopic {
  const { topic, admin, log, everyMs = 30_000, failingEveryMs = 1000 } = options
  let offsets: ReadonlyMap<number, Offsets> | undefined
  let topicId: string | undefined
  let problem: string | undefined = 'Kafka: not connected yet'
  let isReported = false
  let isOver = false
  let timer: NodeJS.Timeout | undefined
  let isLooking = false

  async function look(): Promise<void> {
    if (isLooking) return
    isLooking = true
    clearTimeout(timer)
    try {
      // Where the topic is made anew between the two, the offsets are those of another id and count for nothing.
      topicId = await admin.topicId(topic)
      offsets = await admin.topicOffsets(topic)
      problem = undefined
      if (isReported) log.info({ topic }, 'Kafka is reachable again')
      isReported = false
    } catch (error) {
      fail(messageOf(error))
    }
    isLooking = false
    if (isOver) return
    timer = setTimeout(look, problem === undefined ? everyMs : failingEveryMs)
    timer.unref()
  }

  function fail(reason: string): void {
    problem = `Kafka: ${reason}`
    if (!isReported) log.warn({ topic, reason }, 'Kafka cannot be reached')
    isReported = true
  }

  return {
    name: 'source topic',
    partitions: () => offsets?.size,
    endOf: (partition) => ({ partition, offset: offsets?.get(partition)?.high ?? 0, topicId }),
    problem: () => problem,
    suspect(reason) {
      fail(reason)
      look()
    },
    start() {
      look()
    },
    stop() {
      isOver = true
      clearTimeout(timer)
      admin.close()
    },
  }
}

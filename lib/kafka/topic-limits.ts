import type { Kafka } from 'kafkajs'
import { within } from '../time.ts'
import { connecting } from './client.ts'
import { KafkaError } from './errors.ts'
import { loadKafkajs } from './kafkajs.ts'
import { type OutgoingRecord, sizeOf } from './records.ts'

/** Of a record batch beside its records. */
const batchBytes = 61
const lookUpMs = 3000
/** A limit that was changed is seen after it. */
const trustedMs = 60_000

/** What topics take at once (`max.message.bytes`), looked up at the first record for each. */
export class TopicLimits {
  readonly #kafka: Kafka
  readonly #known = new Map<string, { readonly bytes: number; readonly until: number }>()

  constructor(kafka: Kafka) {
    this.#kafka = kafka
  }

  /**
   * Where a limit cannot be looked up, for want of the right to, the broker decides.
   * @throws KafkaError TooLarge where one of the records is larger than its topic takes; nothing was sent then
   */
  async check(records: readonly OutgoingRecord[]): Promise<void> {
    const now = performance.now()
    const stale = new Set<string>()
    let topic: string | undefined
    for (const record of records) {
      if (record.topic === topic) continue
      topic = record.topic
      if ((this.#known.get(topic)?.until ?? 0) < now) stale.add(topic)
    }
    if (stale.size > 0) await this.#lookUp([...stale])
    for (const record of records) {
      const bytes = sizeOf(record) + batchBytes
      const most = this.#known.get(record.topic)!.bytes
      if (bytes <= most) continue
      const what = `a record of ${bytes} bytes, where the topic takes ${most} (max.message.bytes)`
      throw new KafkaError('TooLarge', `Cannot send to ${record.topic}: ${what}`)
    }
  }

  async #lookUp(topics: readonly string[]): Promise<void> {
    // Others go on with what is known meanwhile.
    const soon = performance.now() + lookUpMs
    for (const topic of topics) {
      this.#known.set(topic, { bytes: this.#known.get(topic)?.bytes ?? Number.POSITIVE_INFINITY, until: soon })
    }
    const found = await within(lookUpMs, this.#describe(topics), 'no answer').catch(() => new Map<string, number>())
    const until = performance.now() + trustedMs
    for (const topic of topics) {
      const bytes = found.get(topic) ?? this.#known.get(topic)?.bytes ?? Number.POSITIVE_INFINITY
      this.#known.set(topic, { bytes, until })
    }
  }

  async #describe(topics: readonly string[]): Promise<Map<string, number>> {
    const { ConfigResourceTypes } = loadKafkajs()
    const admin = this.#kafka.admin({ retry: { ...connecting, retries: 1 } })
    try {
      await admin.connect()
      const { resources } = await admin.describeConfigs({
        resources: topics.map((name) => {
          return { type: ConfigResourceTypes.TOPIC, name, configNames: ['max.message.bytes'] }
        }),
        includeSynonyms: false,
      })
      return new Map(
        resources.flatMap(({ resourceName, configEntries }) => {
          const bytes = Number(configEntries[0]?.configValue)
          return bytes > 0 ? [[resourceName, bytes] as const] : []
        }),
      )
    } finally {
      admin.disconnect().catch(() => {})
    }
  }
}

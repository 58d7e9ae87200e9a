import { openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { connectProducer } from '../../lib/kafka/producer.ts'
import { readTopic } from '../../lib/kafka/read-topic.ts'
import type { OutgoingRecord } from '../../lib/kafka/records.ts'
import { createLogger } from '../../lib/log.ts'
import { type Kafka, startKafka } from '../../tools/servers/kafka/kafka.ts'
import { KafkaStream } from '../../workloads/streams/kafka.ts'
import { behavesAsStream } from '../../workloads/streams/stream-suite.ts'

const log = await createLogger({ level: 'silent' })

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('KafkaStream', () => {
  let kafka: Kafka
  let settings: KafkaSettings
  let opened = 0

  before(async () => {
    kafka = await startKafka()
    settings = { brokers: kafka.brokers, clientId: 'test', log }
  })
  after(() => kafka?.stop())

  behavesAsStream(async () => {
    const topic = `events-${++opened}`
    const verdicts = `verdicts-${opened}`
    const admin = openAdmin(settings)
    await admin.createMissingTopics([
      { topic, partitions: 2 },
      { topic: verdicts, partitions: 1 },
    ])
    admin.close()
    const producer = await connectProducer(settings)
    const stream = new KafkaStream(settings, {
      topic,
      groupId: `group-${opened}`,
      startFrom: 'Earliest',
      onOffsetLost: () => {},
      tooLarge: (record) => record,
      unprocessable: ({ key, value }) => ({ topic: 'dead-letters', key, value }),
      onSetAside: () => {},
    })
    return {
      // The suite's handlers know one name for what they produce.
      stream: {
        consume: (handler, options) =>
          stream.consume(
            {
              ...handler,
              batch: async (batch, signal) =>
                (await handler.batch(batch, signal)).map((record) => ({ ...record, topic: verdicts })),
            },
            options,
          ),
      },
      append: (partition, values) => producer.send(values.map((value) => ({ topic, partition, key: null, value }))),
      produced: async () => {
        const produced: OutgoingRecord[] = []
        await readTopic(settings, verdicts, ({ records }) => {
          for (const { key, value } of records) produced.push({ topic: 'verdicts', key, value })
        })
        return produced
      },
      close: () => producer.close(),
    }
  })
})

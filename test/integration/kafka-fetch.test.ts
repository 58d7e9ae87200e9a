import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { failureOf } from '../../lib/kafka/errors.ts'
import { loadKafkajs } from '../../lib/kafka/kafkajs.ts'
import { connectProducer } from '../../lib/kafka/producer.ts'
import { readTopic } from '../../lib/kafka/read-topic.ts'
import type { KafkaRecord } from '../../lib/kafka/records.ts'
import {
  type Transaction,
  type TransactionalProducer,
  transactionalProducers,
} from '../../lib/kafka/transactional-producer.ts'
import { type Kafka, startKafka } from '../../tools/servers/kafka/kafka.ts'
import { eventually } from '../harness/eventually.ts'

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const run = promisify(execFile)

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('What a fetch brings', () => {
  let kafka: Kafka
  before(async () => {
    kafka = await startKafka()
  })
  after(() => kafka?.stop())

  const settings = (): KafkaSettings => ({ brokers: kafka.brokers, clientId: 'test', log })

  async function createTopic(topic: string, partitions: number, config: Readonly<Record<string, string>> = {}) {
    const args = Object.entries(config).flatMap(([name, value]) => ['--config', `${name}=${value}`])
    await kafka.tool('org.apache.kafka.tools.TopicCommand', [
      ...['--bootstrap-server', kafka.brokers[0]!, '--create', '--topic', topic, '--partitions', String(partitions)],
      ...args,
    ])
  }

  async function read(topic: string): Promise<string[]> {
    const seen: string[] = []
    await readTopic(
      settings(),
      topic,
      ({ partition, records }) => {
        for (const record of records) seen.push(nameOf(partition, record))
      },
      { signal: AbortSignal.timeout(60_000) },
    )
    return seen.sort()
  }
  const nameOf = (partition: number, { offset, value, unreadable }: KafkaRecord): string =>
    `${partition} ${offset} ${unreadable ?? value}`

  /** As the broker's own console consumer reads it; with more patience where a slow machine gave it too little time. */
  async function readByJava(topic: string, count: number): Promise<string[]> {
    const seen = await readByJavaFor(8_000, topic, count)
    return seen.length < count ? await readByJavaFor(90_000, topic, count) : seen
  }

  /** All records, and whatever comes beyond their number until nothing has come for `timeoutMs`. */
  async function readByJavaFor(timeoutMs: number, topic: string, count: number): Promise<string[]> {
    const output = await kafka
      .tool('org.apache.kafka.tools.consumer.ConsoleConsumer', [
        ...['--bootstrap-server', kafka.brokers[0]!, '--topic', topic, '--from-beginning'],
        ...['--timeout-ms', String(timeoutMs)],
        ...['--isolation-level', 'read_committed', '--max-messages', String(count + 1)],
        ...['--formatter-property', 'print.partition=true', '--formatter-property', 'print.offset=true'],
      ])
      .catch((error: { stdout: string }) => error.stdout)
    return output
      .split('\n')
      .flatMap((line) => /^Partition:(\d+)\tOffset:(\d+)\t(.*)$/.exec(line)?.slice(1).join(' ') ?? [])
      .sort()
  }

  /** As librdkafka reads it; undefined where Python does not have it. */
  async function readByLibrdkafka(topic: string): Promise<string[] | undefined> {
    const script = `
import sys
from confluent_kafka import Consumer, KafkaError
c = Consumer({'bootstrap.servers': sys.argv[1], 'group.id': 'librdkafka', 'auto.offset.reset': 'earliest',
              'isolation.level': 'read_committed', 'enable.partition.eof': True, 'enable.auto.commit': False})
c.subscribe([sys.argv[2]])
ended = set()
while len(ended) < int(sys.argv[3]):
    m = c.poll(10)
    if m is None: break
    if m.error():
        if m.error().code() == KafkaError._PARTITION_EOF: ended.add(m.partition())
        continue
    print(m.partition(), m.offset(), m.value().decode())
c.close()`
    const hasIt = await run('python3', ['-c', 'import confluent_kafka']).then(
      () => true,
      () => false,
    )
    if (!hasIt) {
      console.error('      not compared with librdkafka: python3 has no confluent_kafka')
      return undefined
    }
    const { stdout } = await run('python3', ['-c', script, kafka.brokers[0]!, topic, '3'], { maxBuffer: 1 << 26 })
    return stdout.trim().split('\n').sort()
  }

  it('is what was committed, where transactions of several producers overlap and end in any order', async () => {
    const topic = 'interleaved'
    await createTopic(topic, 3)
    const open = transactionalProducers(settings())
    const plain = await connectProducer(settings())
    const producers = new Map<string, TransactionalProducer>()
    const transactions = new Map<string, { readonly transaction: Transaction; readonly sent: string[] }>()
    const committed: string[] = []
    let state = 3
    const below = (n: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
      return Math.floor((state / 2 ** 32) * n)
    }
    /** Without a commit: the next producer of the same id aborts what was left open. */
    const abort = async (id: string): Promise<void> => {
      producers.get(id)?.discard()
      producers.set(id, await open(id))
      transactions.delete(id)
    }
    for (const id of ['a', 'b', 'c', 'd']) await abort(id)
    for (let step = 0; step < 260; step++) {
      const value = `event-${step}`
      const partition = below(3)
      if (below(5) === 0) {
        await plain.send([{ topic, partition, key: null, value }])
        committed.push(value)
        continue
      }
      const id = 'abcd'[below(4)]!
      let current = transactions.get(id)
      if (current === undefined) {
        current = { transaction: await producers.get(id)!.begin(), sent: [] }
        transactions.set(id, current)
      }
      const end = below(8)
      if (current.sent.length === 0 || end > 1) {
        await current.transaction.send([{ topic, partition, key: null, value }])
        current.sent.push(value)
      } else if (end === 0) await abort(id)
      else {
        await current.transaction.commit()
        committed.push(...current.sent)
        transactions.delete(id)
      }
    }
    for (const id of ['a', 'b', 'c', 'd']) await abort(id)
    await plain.close()
    for (const producer of producers.values()) producer.discard()

    const seen = await read(topic)
    expect(seen.map((one) => one.split(' ')[2]).sort()).to.deep.equal(committed.sort())
    expect(seen).to.deep.equal(await readByJava(topic, committed.length))
    expect(seen).to.deep.equal((await readByLibrdkafka(topic)) ?? seen)
  })

  it('goes on behind the batches without records that compaction leaves', async () => {
    const topic = 'compacted'
    await createTopic(topic, 1, {
      'cleanup.policy': 'compact',
      'segment.ms': '100',
      'min.cleanable.dirty.ratio': '0.01',
      'delete.retention.ms': '0',
    })
    const write = async (value: string): Promise<void> => {
      // A producer of its own each time: the last batch of each one stays, with no record in it.
      const producer = await connectProducer(settings())
      const keys = Array.from({ length: 50 }, (_, i) => `key-${i}`)
      await producer.send(keys.map((key) => ({ topic, partition: 0, key, value })))
      await producer.close()
    }
    for (let i = 0; i < 4; i++) await write(`old-${i}`)
    await eventually(async () => {
      await write('new')
      const offsets = (await read(topic)).map((one) => Number(one.split(' ')[1]))
      // Of the first producers nothing is left.
      expect(Math.min(...offsets)).to.be.greaterThan(199)
    }, 120_000)
    const admin = openAdmin(settings())
    const { low, high } = (await admin.topicOffsets(topic)).get(0)!
    admin.close()
    expect(low, 'the empty batches are still in the log').to.equal(0)
    // The broker goes on compacting: both must have read the same log.
    await eventually(async () => {
      const seen = await read(topic)
      expect(Math.max(...seen.map((one) => Number(one.split(' ')[1])))).to.equal(high - 1)
      expect(seen).to.deep.equal(await readByJava(topic, seen.length))
    })
  })

  it('has an entry for each record that is too large when decompressed, and goes on behind it', async () => {
    const topic = 'bomb'
    await createTopic(topic, 1)
    const { Kafka, CompressionTypes, logLevel } = loadKafkajs()
    const producer = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).producer()
    await producer.connect()
    const send = (value: Buffer | string, compression: number) =>
      producer.send({ topic, compression, messages: [{ value, partition: 0 }] })
    await send('before', CompressionTypes.None)
    await send(Buffer.alloc(250 * 1024 * 1024), CompressionTypes.GZIP)
    await send('after', CompressionTypes.GZIP)
    await producer.disconnect()
    const before = process.memoryUsage.rss()
    const seen = await read(topic)
    expect((process.memoryUsage.rss() - before) / 2 ** 20, 'MiB more').to.be.lessThan(200)
    expect(seen).to.have.length(3)
    expect([seen[0], seen[2]]).to.deep.equal(['0 0 before', '0 2 after'])
    expect(seen[1]).to.match(/^0 1 Cannot read the record batch at offset 1: .* exceeds \d+ bytes$/)
  })

  it('is not more than its topic takes: a record that is too large is refused before it is sent', async () => {
    const topic = 'small'
    await createTopic(topic, 1, { 'max.message.bytes': '2000' })
    const transactional = await transactionalProducers(settings())('small')
    const plain = await connectProducer(settings())
    const large = [{ topic, key: null, value: 'x'.repeat(2000) }]
    for (const send of [(await transactional.begin()).send, plain.send]) {
      const error = await send(large).catch((thrown: unknown) => thrown)
      expect(failureOf(error)).to.equal('TooLarge')
      expect(String(error)).to.match(/a record of 2\d\d\d bytes, where the topic takes 2000/)
    }
    await plain.send([{ topic, key: null, value: 'x'.repeat(1800) }])
    transactional.discard()
    await plain.close()
    expect(await read(topic)).to.have.length(1)
  })
})

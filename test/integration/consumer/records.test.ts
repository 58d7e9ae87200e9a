import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { loadKafkajs } from '../../../lib/kafka/kafkajs.ts'
import { partitionOf } from '../../../lib/kafka/partitioner.ts'
import { createLogger } from '../../../lib/log.ts'
import { createRedisState } from '../../../workloads/state/redis.ts'
import { eventually } from '../../harness/eventually.ts'
import { type Cluster, eventOf, judged, patience, type Read, recordOf, type Scene, startCluster } from './cluster.ts'

interface Bad {
  readonly reason: string
  readonly value: string | Buffer
}

const event = eventOf(1)
const json = (changes: object): string => JSON.stringify({ ...event, ...changes })
const numbered = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}`, i]))
const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
/** Every kind of record that cannot be read. */
const badKinds: Readonly<Record<string, Bad>> = {
  'a JSON text cut short': { reason: 'MalformedJson', value: '{"eventId":' },
  'bytes that are no text': { reason: 'NotUtf8', value: Buffer.from([0, 255, 254, 123, 34]) },
  'the framing of a schema registry': { reason: 'MalformedJson', value: Buffer.from([0, 0, 0, 0, 7, 2, 4]) },
  'a value that is nested deeply': { reason: 'InvalidValue', value: `{"userId":"a","value":${deep}}` },
  'an id that is nested deeply': { reason: 'InvalidId', value: `{"userId":"a","eventId":${deep}}` },
  'half of a surrogate pair': { reason: 'MissingKey', value: String.raw`{"userId":"\ud800"}` },
  'no bytes': { reason: 'MalformedJson', value: Buffer.alloc(0) },
  'a list': { reason: 'NotAnObject', value: '[1]' },
  'a number': { reason: 'NotAnObject', value: '42' },
  'no key': { reason: 'MissingKey', value: json({ userId: undefined }) },
  'an empty key': { reason: 'MissingKey', value: json({ userId: '' }) },
  'an object for a key': { reason: 'MissingKey', value: json({ userId: {} }) },
  'an id of 257 characters': { reason: 'InvalidId', value: json({ eventId: 'x'.repeat(257) }) },
  'a list for an id': { reason: 'InvalidId', value: json({ eventId: [] }) },
  NaN: { reason: 'MalformedJson', value: '{"userId":"a","value":NaN}' },
  'an infinite value': { reason: 'InvalidValue', value: '{"userId":"a","value":1e999}' },
  'a text for a value': { reason: 'InvalidValue', value: json({ value: '12' }) },
  'a text for a feature': { reason: 'InvalidFeature', value: json({ features: { amount: '1' } }) },
  'an infinite feature': { reason: 'InvalidFeature', value: '{"userId":"a","features":{"amount":-1e999}}' },
  'a list of features': { reason: 'InvalidFeature', value: json({ features: [1, 2] }) },
  '5,000 features': { reason: 'TooManyFeatures', value: json({ features: numbered(5000) }) },
  'no time': { reason: 'InvalidTime', value: json({ timestamp: 'yesterday' }) },
  'a time in the far future': { reason: 'InvalidTime', value: json({ timestamp: Date.UTC(2099, 0, 1) }) },
  '900 KB': { reason: 'MalformedJson', value: '{'.repeat(900_000) },
}
const bads = Object.values(badKinds)

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('Records that a consumer meets', () => {
  let cluster: Cluster
  let scene: Scene
  let inference: string

  before(async () => {
    cluster = await startCluster()
    const first = await cluster.scene()
    inference = (await first.inference()).address
  })
  after(() => cluster?.stop())
  afterEach(() => scene?.stop())

  function expectDeadLetters(
    dead: readonly Read[],
    source: readonly Read[],
    reasonOf: (value: string) => string,
  ): void {
    const bySource = new Map(source.map((record) => [`${record.partition}-${record.offset}`, record]))
    for (const { key, value, headers } of dead) {
      const original = bySource.get(`${headers['anomaly-partition']}-${headers['anomaly-offset']}`)!
      expect(String(headers['anomaly-topic'])).to.equal(scene.topics.source)
      expect(String(headers['anomaly-reason'])).to.equal(reasonOf(String(original.value)))
      expect(String(headers['anomaly-message'])).not.to.equal('')
      expect(headers['sent-by']).to.deep.equal(original.headers['sent-by'])
      expect(key).to.deep.equal(original.key)
      expect(value?.equals(original.value!), 'original bytes').to.equal(true)
    }
  }

  const reasonOf = (value: string): string => bads.find((bad) => String(bad.value) === value)!.reason
  const sendBad = (from: number, count: number): Promise<void> =>
    scene.send(
      Array.from({ length: count }, (_, i) => ({
        key: `user-${i % 7}`,
        value: bads[(from + i) % (bads.length - 1)]!.value,
        headers: { 'sent-by': Buffer.from([i % 256, 1, 2]) },
      })),
    )

  it('one in ten is bad, in every way: each has its dead letter, with the reason, where it was, and all that it had', async () => {
    scene = await cluster.scene()
    for (let round = 0; round < 10; round++) {
      await scene.feed(270)
      await sendBad(3 * round, 30)
    }
    await scene.send([{ key: 'large', value: badKinds['900 KB']!.value, headers: { 'sent-by': 'x' } }])
    const consumer = await scene.consumer({ inference })
    await scene.caughtUp()
    await scene.expectExact()
    const dead = await scene.read(scene.topics.deadLetters)
    expect(dead.length).to.equal(301)
    expectDeadLetters(dead, await scene.read(scene.topics.source), reasonOf)
    await eventually(async () => expect((await consumer.status()).rejected).to.equal(301))
    await scene.expectAllLearnt()
  })

  it('some have no value: they are counted and left aside', async () => {
    scene = await cluster.scene({ partitions: 1 })
    await scene.feed(60)
    await scene.send(Array.from({ length: 5 }, (_, i) => ({ key: `user-${i}`, value: null })))
    await scene.feed(60)
    const consumer = await scene.consumer({ inference })
    await scene.caughtUp()
    expect((await scene.expectExact()).length).to.equal(120)
    expect(await scene.read(scene.topics.deadLetters)).to.have.length(0)
    await eventually(async () => expect((await consumer.status()).rejected).to.equal(5))
  })

  it('all of them are bad', async () => {
    scene = await cluster.scene({ partitions: 1 })
    await sendBad(0, 100)
    await scene.consumer({ inference })
    await scene.caughtUp()
    const dead = await scene.read(scene.topics.deadLetters)
    expect(dead.length).to.equal(100)
    expectDeadLetters(dead, await scene.read(scene.topics.source), reasonOf)
    await scene.feed(60)
    await scene.caughtUp()
    expect((await scene.expectExact()).length).to.equal(60)
  })

  it('one is bad and so large that it does not fit together with the reason', async () => {
    scene = await cluster.scene({ partitions: 1 })
    await scene.feed(60)
    await scene.send([{ key: 'k', value: '{'.repeat(1_048_430) }])
    await scene.feed(60)
    await scene.consumer({ inference })
    await scene.caughtUp()
    expect((await scene.expectExact()).length).to.equal(120)
    const [dead] = await scene.read(scene.topics.deadLetters)
    const said = ['reason', 'topic', 'partition', 'offset'].map((name) => String(dead!.headers[`anomaly-${name}`]))
    expect(said).to.deep.equal(['TooLarge', scene.topics.source, '0', '60'])
    expect(dead!.value).to.equal(null)
  })

  it('some are odd, not bad: without value, features, id or time; an id twice; time going backwards', async () => {
    scene = await cluster.scene()
    await scene.feed(300)
    const odd = [{ value: undefined }, { features: undefined }, { eventId: undefined }, { timestamp: undefined }]
    const texts = [...odd, {}, {}, { timestamp: 1 }, { userId: '\ud83d\udca5 ключ' }].map(json)
    const poison = '{"userId":"user-1","features":{"__proto__":1,"constructor":2,"":3}}'
    await scene.send([...texts, poison].map((value) => ({ key: String(JSON.parse(value).userId), value })))
    await scene.consumer({ inference })
    await scene.caughtUp()
    expect((await scene.expectExact()).length).to.equal(309)
    await scene.expectAllLearnt()
  })

  it("some have binary keys, which are the events' own: each its own, and its verdict under the same bytes", async () => {
    scene = await cluster.scene({ partitions: 1, event: { id: '', time: '', key: '$key', features: '' } })
    const keys = [5n, 200n, 201n, 202n].map((number) => {
      const bytes = Buffer.alloc(8)
      bytes.writeBigInt64BE(number)
      return bytes
    })
    await scene.send(keys.map((key) => ({ key, value: '{"value":1}' })))
    await scene.send([
      { key: 'text', value: '{"value":1}' },
      { key: 'text', value: null },
    ])
    const consumer = await scene.consumer({ inference })
    await scene.caughtUp()
    const verdicts = await scene.read(scene.topics.results)
    expect(verdicts.map(({ key }) => key)).to.deep.equal([...keys, Buffer.from('text')])
    expect(verdicts.map(({ value }) => JSON.parse(String(value)).userId)).to.deep.equal([
      'hex:0000000000000005',
      'hex:00000000000000c8',
      'hex:00000000000000c9',
      'hex:00000000000000ca',
      'text',
    ])
    expect(await scene.read(scene.topics.deadLetters)).to.deep.equal([])
    await eventually(async () => expect(await consumer.status()).to.include({ events: 5, rejected: 1, keys: 5 }))
  })

  it('only anomalies are published: the offsets of the rest are committed alone, also when consumers are killed', async () => {
    const rules = [{ name: 'limit', field: 'value', above: '1000' }]
    scene = await cluster.scene({ detection: { threshold: '0.999999999999999', rules }, publish: 'Anomalies' })
    const load = scene.load()
    for (let round = 0; round < 3; round++) {
      const consumer = await scene.consumer({ inference })
      await judged(consumer, 500)
      await sendBad(0, 20)
      if (round < 2) await consumer.kill()
      else expect(consumer.log()).not.to.match(/transaction failed/)
    }
    await load.stop()
    await scene.caughtUp()
    const idOf = ({ value }: Read) => JSON.parse(String(value)).eventId as string
    const source = await scene.read(scene.topics.source)
    const far = source.filter(({ value }) => /"value":5000,/.test(String(value)))
    expect(far.length).to.be.greaterThan(1)
    expect((await scene.read(scene.topics.results)).map(idOf).sort()).to.deep.equal(far.map(idOf).sort())
    const dead = await scene.read(scene.topics.deadLetters)
    expect(dead.length).to.equal(60)
    expectDeadLetters(dead, source, reasonOf)
  })

  const lines = (from: number, count: number, lineOf: (event: ReturnType<typeof eventOf>) => string): string =>
    Array.from({ length: count }, (_, i) => `${lineOf(eventOf(from + i))}\n`).join('')
  const produce = (codec: string, input: string, ...properties: readonly string[]): Promise<string> =>
    cluster.kafka.tool(
      'org.apache.kafka.tools.ConsoleProducer',
      [
        ...['--bootstrap-server', cluster.kafka.brokers[0]!, '--topic', scene.topics.source, '--max-block-ms', '20000'],
        ...['--compression-codec', codec, ...properties.flatMap((property) => ['--reader-property', property])],
      ],
      { input },
    )

  it("Kafka's console producer sends them without keys: they are judged, and a condition says so", async () => {
    scene = await cluster.scene()
    const consumer = await scene.consumer({ inference })
    await scene.feed(60)
    await scene.caughtUp()
    await eventually(async () => expect((await consumer.status()).events).to.equal(60))
    expect((await consumer.status()).conditions.keysMisplaced).to.equal(false)
    await produce('none', lines(1000, 1500, JSON.stringify))
    await scene.caughtUp()
    expect((await scene.expectExact()).length).to.equal(1560)
    await eventually(async () => expect((await consumer.status()).conditions.keysMisplaced).to.equal(true))
    expect(await consumer.metrics()).to.match(/^anomaly_consumer_misplaced_batches_total [1-9]/m)
    await scene.expectAllLearnt()
  })

  it("Java's client sends them with keys, compressed in every way: they are judged in the order of their keys", async () => {
    scene = await cluster.scene()
    const consumer = await scene.consumer({ inference })
    const tabbed = (event: ReturnType<typeof eventOf>) => `${event.userId}\t${JSON.stringify(event)}`
    for (const [i, codec] of ['gzip', 'snappy', 'lz4', 'zstd'].entries())
      await produce(codec, lines(1000 * i, 900, tabbed), 'parse.key=true', 'key.separator=\t')
    await scene.caughtUp()
    expect((await scene.expectExact()).length).to.equal(3600)
    const places = new Map<string, Set<number>>()
    for (const { key, partition } of await scene.read(scene.topics.source))
      places.set(String(key), (places.get(String(key)) ?? new Set()).add(partition))
    expect([...places].filter(([key, at]) => !at.has(partitionOf(key, 4, 'Murmur2')) || at.size > 1)).to.deep.equal([])
    await eventually(async () => expect((await consumer.status()).events).to.equal(3600))
    expect((await consumer.status()).conditions.keysMisplaced).to.equal(false)
    await scene.expectAllLearnt()
  })

  it('one is 250 MiB when decompressed: it is a dead letter, and its neighbours are judged', async () => {
    scene = await cluster.scene()
    const consumer = await scene.consumer({ inference })
    await scene.feed(100)
    const { Kafka, CompressionTypes, logLevel } = loadKafkajs()
    const producer = new Kafka({ brokers: [...cluster.kafka.brokers], logLevel: logLevel.NOTHING }).producer()
    await producer.connect()
    const messages = [{ key: 'user-1', value: Buffer.alloc(250 * 1024 * 1024, ' '), partition: 0 }]
    await producer.send({ topic: scene.topics.source, compression: CompressionTypes.GZIP, messages })
    await producer.disconnect()
    await scene.feed(200)
    await scene.caughtUp()
    const dead = await scene.read(scene.topics.deadLetters)
    expect(dead.map(({ value }) => value)).to.deep.equal([null])
    const said = Object.values(dead[0]!.headers).map(String)
    expect(said).to.include('Unreadable')
    expect(said.some((text) => /exceeds \d+ bytes$/.test(text))).to.equal(true)
    expect(await consumer.metrics()).to.match(/^anomaly_events_rejected_total\{reason="Unreadable"\} 1$/m)
    expect((await consumer.status()).rejected).to.equal(1)
  })

  it('librdkafka sends them: they are judged in the order of their keys', async function () {
    const python = await librdkafka()
    if (python === undefined) {
      this.test!.title += ' (python3 with venv and pip is missing here)'
      this.skip()
    }
    scene = await cluster.scene()
    const records = Array.from({ length: 600 }, (_, i) => recordOf(eventOf(i)))
    const script = `
import json, sys
from confluent_kafka import Producer
records = json.load(sys.stdin)
for codec in ['none', 'gzip', 'snappy', 'lz4', 'zstd']:
    producer = Producer({'bootstrap.servers': sys.argv[1], 'compression.type': codec, 'linger.ms': 50})
    for record in records:
        producer.produce(sys.argv[2], key=record['key'], value=record['value'])
    producer.flush(60)
`
    const sending = promisify(execFile)(python, ['-c', script, cluster.kafka.brokers[0]!, scene.topics.source])
    sending.child.stdin!.end(JSON.stringify(records))
    await sending
    const consumer = await scene.consumer({ inference })
    await scene.caughtUp()
    expect((await scene.expectExact()).length).to.equal(3000)
    await eventually(async () => expect((await consumer.status()).events).to.equal(3000))
    expect((await consumer.status()).conditions.keysMisplaced).to.equal(false)
    await scene.expectAllLearnt()
  })

  it('find state of another version, of other detectors, or damaged: it is left aside and counted', async () => {
    scene = await cluster.scene()
    const common = { url: `${cluster.redis.url}/${scene.database}`, profileTtlSeconds: 600, featureTtlSeconds: 600 }
    const other = createRedisState({
      ...common,
      encoding: 99,
      maxFeatures: 10,
      log: await createLogger({ level: 'silent' }),
    })
    await other.start!(AbortSignal.timeout(patience))
    const users = Array.from({ length: 60 }, (_, i) => `user-${i}`)
    for (const [partition, keys] of Map.groupBy(users, (user) => partitionOf(user, 4, 'Murmur2'))) {
      const damaged = keys.slice(0, 2)
      const foreign = new Map(keys.slice(2).map((key) => [key, Buffer.from(`what another version knows of ${key}`)]))
      await other.partitions.flush(partition, 1, { keys: foreign, partition: Buffer.from('another layout') })
      const broken = new Map(damaged.map((key, i) => [key, Buffer.alloc(10 + 50 * i, 7)]))
      await scene.state.partitions.flush(partition, 2, {
        keys: broken,
        ...(partition === 0 ? { partition: Buffer.alloc(30) } : {}),
      })
    }
    await other.stop!()
    const consumer = await scene.consumer({ inference })
    await scene.feed(1200)
    await scene.caughtUp()
    const metrics = await consumer.metrics()
    expect(metrics).to.match(/^anomaly_state_foreign_total\{what="profile"\} 60$/m)
    expect(metrics).to.match(/^anomaly_state_foreign_total\{what="partition"\} 4$/m)
    await scene.expectExact()
    await scene.expectAllLearnt()
  })

  it('are judged by the former model while the current one is damaged', async () => {
    const detectors = [
      { name: 'profile', profile: {} },
      { name: 'forest', isolationForest: { refitEvents: 500 } },
    ]
    scene = await cluster.scene({ detection: { detectors } })
    const own = await scene.inference()
    const consumer = await scene.consumer({ inference: own.address })
    await scene.feed(1000)
    await eventually(async () => expect(await scene.state.models.current()).not.to.equal(undefined), patience)
    const { version, rowsSeen } = (await scene.state.models.current())!
    await eventually(async () => expect((await own.status()).modelVersion).to.equal(version), patience)
    const damaged = { version: 'forest-damaged', rowsSeen: rowsSeen + 1_000_000 }
    await scene.state.models.put(damaged.version, Buffer.from('no model'))
    expect(await scene.state.models.swap(version, damaged)).to.equal('Swapped')
    await eventually(
      async () =>
        expect(await own.metrics()).to.match(/artifacts_refused_total\{what="model",reason="Damaged"\} [1-9]/),
      patience,
    )
    await scene.feed(120)
    await scene.caughtUp()
    const verdicts = await scene.expectExact()
    const last = verdicts.find(({ eventId }) => eventId === 'event-1119')!
    expect(last.modelVersion).to.match(/^forest-(?!damaged)/)
    expect((await consumer.status()).inference).to.equal('ok')
  })
})

/** A Python with librdkafka, made once a user; undefined where there is none to be had. */
async function librdkafka(): Promise<string | undefined> {
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'anomaly', 'confluent-kafka-2.16.1')
  const python = join(folder, 'bin', 'python')
  const run = promisify(execFile)
  try {
    if (!existsSync(python)) await run('python3', ['-m', 'venv', folder])
    await run(python, ['-c', 'import confluent_kafka']).catch(() =>
      run(python, ['-m', 'pip', '--quiet', 'install', '--only-binary', ':all:', 'confluent-kafka==2.16.1']),
    )
    return python
  } catch {
    return undefined
  }
}

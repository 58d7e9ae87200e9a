import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { openAdmin } from '../../lib/kafka/admin.ts'
import { partitionOf } from '../../lib/kafka/partitioner.ts'
import { connectProducer } from '../../lib/kafka/producer.ts'
import { readTopic } from '../../lib/kafka/read-topic.ts'
import type { KafkaRecord } from '../../lib/kafka/records.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { startTelemetry } from '../../lib/telemetry.ts'
import { type Kafka, startKafka } from '../../tools/servers/kafka/kafka.ts'
import { kafkaApi } from '../../tools/servers/proxy.ts'
import { type Redis, startRedis } from '../../tools/servers/redis.ts'
import { freePorts, removeFolder, startServer, temporaryFolder } from '../../tools/servers/server.ts'
import { runConsumer } from '../../workloads/consumer/main.ts'
import { FeatureSchema } from '../../workloads/detection/feature-schema.ts'
import { Partition } from '../../workloads/judging/partition.ts'
import { createGrpcScorer } from '../../workloads/scoring/grpc.ts'
import { verifyVerdict } from '../../workloads/wire/signed-verdict.ts'
import { eventually } from '../harness/eventually.ts'
import { startOtlpReceiver } from '../harness/otlp-receiver.ts'
import { clientOf, kafkaOf, log, pipelineOf, type ServedApi, serveApi, signingKey, stateOf } from './api/serve-api.ts'
import { type ServedProcess, spawnInference } from './inference/serve.ts'

const partitions = 4
/** Of an answer, and what a machine that does other things may add. */
const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('anomaly api', () => {
  let kafka: Kafka
  let redis: Redis
  let inference: ServedProcess
  let count = 0
  const serving: ServedApi[] = []

  before(async () => {
    ;[kafka, redis] = await Promise.all([startKafka({ proxied: true }), startRedis()])
    const [port, probesPort] = (await freePorts(2)) as [number, number]
    inference = await spawnInference({ port, probesPort, redisUrl: redis.url })
  })
  after(async () => {
    await inference?.stop()
    await Promise.all([kafka?.stop(), redis?.stop()])
  })
  afterEach(async () => {
    kafka.proxy!.flow()
    kafka.proxy!.accept()
    inference.resume()
    await Promise.all(serving.splice(0).map((api) => api.stop()))
  })

  /** A pipeline whose topics exist, seen through the proxy. */
  async function newPipeline(parts: Parameters<typeof pipelineOf>[2] = {}): Promise<Pipeline> {
    const pipeline = pipelineOf(`api-${++count}`, kafka.proxy!.brokers, parts)
    const { source, results } = pipeline.spec
    const admin = openAdmin(direct(pipeline))
    const topics = [source.topic, results.topic, results.deadLetterTopic]
    await admin.createMissingTopics(topics.map((topic) => ({ topic, partitions })))
    admin.close()
    return pipeline
  }

  const direct = (pipeline: Pipeline) => ({ ...kafkaOf(pipeline), brokers: kafka.brokers })

  async function serve(pipeline: Pipeline, options: { readonly deadlineMs?: number } = {}): Promise<ServedApi> {
    const api = await serveApi(pipeline, { redisUrl: redis.url, inference: inference.address }, options)
    serving.push(api)
    await eventually(async () => expect((await api.probe('/readyz')).status).to.equal(200))
    return api
  }

  async function recordsOf(
    pipeline: Pipeline,
    topic = pipeline.spec.source.topic,
  ): Promise<(KafkaRecord & { readonly partition: number })[]> {
    const records: (KafkaRecord & { readonly partition: number })[] = []
    await readTopic(direct(pipeline), topic, (batch) => {
      for (const record of batch.records) records.push({ ...record, partition: batch.partition })
    })
    return records
  }

  const eventOf = (eventId: string, more: object = {}) => ({
    eventId,
    timestamp: 1_700_000_000,
    userId: 'alice',
    value: 20,
    features: { amount: 10, items: 2 },
    ...more,
  })

  /** Two hours of alice's, one event a minute, as a consumer would have learnt and stored them. */
  async function learn(pipeline: Pipeline): Promise<void> {
    const schema = new FeatureSchema(['amount', 'items'])
    const memory = new Partition(pipeline, { schema })
    for (let i = 0; i < 600; i++) {
      const time = 1_700_000_000_000 - (600 - i) * 60_000
      const wave = (i * 7) % 10
      const event = { id: `past-${i}`, time, key: 'alice', value: 20 + wave, features: [10 + wave, 2] }
      memory.decide(memory.observe([event]), undefined)
    }
    const state = stateOf(pipeline, redis.url)
    await state.start!(new AbortController().signal)
    const partition = partitionOf('alice', partitions, 'Murmur2')
    await state.features.extend(schema.names)
    const { epoch } = await state.partitions.take(partition)
    await state.partitions.flush(partition, epoch, {
      keys: new Map([['alice', memory.saveKey('alice')!]]),
      partition: memory.savePartition(),
      features: new Map([['alice', '{"amount":12,"items":2}']]),
    })
    await state.stop!()
  }

  it('streams the verdicts that are published from now on', async () => {
    const pipeline = await newPipeline()
    const { topic } = pipeline.spec.results
    const producer = await connectProducer(direct(pipeline))
    const publish = (...values: readonly string[]) =>
      producer.send(values.map((value) => ({ topic, key: 'k', value: Buffer.from(value) })))
    const verdict = (eventId: string, isAnomaly: boolean) => JSON.stringify({ eventId, isAnomaly, reasons: [] })
    await publish(verdict('before', true))
    const api = await serve(pipeline)
    const open = async () => {
      const stream = await fetch(`${api.url}/api/v1/stream?only=alert`)
      expect(stream.status).to.equal(200)
      return stream.body!.pipeThrough(new TextDecoderStream()).getReader()
    }
    const heard = async (reader: Awaited<ReturnType<typeof open>>, last: string) => {
      let text = ''
      while (!text.includes(last)) text += (await reader.read()).value ?? expect.fail(`ended after ${text}`)
      return text.replace('retry: 2000\n\n', '')
    }
    const readers = [await open(), await open()]
    await publish(verdict('a', false), 'event: alert\ndata: forged\n', '{"no":"verdict"}', verdict('b', true))
    for (const reader of readers)
      expect(await heard(reader, '}\n\n')).to.equal(`event: alert\ndata: ${verdict('b', true)}\n\n`)
    for (const reader of readers) await reader.cancel()
    await publish(verdict('nobody listens', true))
    const later = await open()
    await publish(verdict('c', true))
    expect(await heard(later, '}\n\n')).to.equal(`event: alert\ndata: ${verdict('c', true)}\n\n`)
    await producer.close()
    await api.stop()
    serving.length = 0
    expect(await heard(later, '\n\n')).to.include('event: end')
  })

  it('answers with a verdict and sends the event on with it, signed', async () => {
    const pipeline = await newPipeline()
    const api = await serve(pipeline)
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const answer = await api.detect(eventOf('e-1'), { traceparent })
    expect(answer.status, answer.text).to.equal(200)
    expect(answer.body).to.include({ eventId: 'e-1', userId: 'alice', timestamp: 1_700_000_000_000, isAnomaly: false })
    expect(answer.body).to.not.have.property('degraded')
    expect(answer.headers.has('idempotent-replayed')).to.equal(false)

    const [record, ...others] = await recordsOf(pipeline)
    expect(others).to.deep.equal([])
    expect(JSON.parse(String(record!.value))).to.deep.equal(eventOf('e-1'))
    expect(String(record!.key)).to.equal('alice')
    expect(record!.partition).to.equal(partitionOf('alice', partitions, 'Murmur2'))
    expect(String(record!.headers.traceparent)).to.equal(traceparent)
    const { key, value, headers } = record!
    const { topic } = pipeline.spec.source
    const judged = { topic, key, eventId: 'e-1', value }
    expect(verifyVerdict(signingKey, judged, headers)).to.equal(answer.text)
    for (const moved of [{ key: Buffer.from('bob') }, { eventId: 'e-2' }, { topic: 'others' }, { value: key }])
      expect(verifyVerdict(signingKey, { ...judged, ...moved }, headers)).to.equal(undefined)
  })

  it('judges by what the consumers have learnt, and learns nothing itself', async () => {
    const pipeline = await newPipeline({ api: { publishEvents: 'Disabled' } })
    await learn(pipeline)
    const api = await serve(pipeline)
    const usual = await api.detect(eventOf('usual'))
    expect(usual.body).to.include({ isAnomaly: false })
    expect(usual.body.confidence).to.be.above(0.45)
    const outliers = []
    for (const eventId of ['one', 'two', 'three']) {
      const { body } = await api.detect(eventOf(eventId, { value: 5000, features: { amount: 4000, items: 90 } }))
      outliers.push(body)
    }
    expect(outliers[0]).to.include({ isAnomaly: true })
    expect(outliers[0].reasons[0].detector).to.equal('profile')
    for (const other of outliers)
      expect(other.scores.profile, 'the same event gets the same score').to.equal(outliers[0].scores.profile)
    expect(await recordsOf(pipeline)).to.deep.equal([])
    expect((await api.ask('/api/v1/results/one')).body).to.deep.equal(outliers[0])
  })

  it('takes features that are left out from those last seen of the key', async () => {
    const pipeline = await newPipeline()
    await learn(pipeline)
    const api = await serve(pipeline)
    const { features: _, ...bare } = eventOf('bare')
    const [filled, stranger] = await Promise.all([
      api.detect(bare),
      api.detect({ ...bare, eventId: 's', userId: 'bob' }),
    ])
    expect(filled.body.confidence).to.be.above(0.45)
    expect(stranger.body.confidence).to.be.below(0.1)
    const whole = await api.detect(eventOf('whole', { features: { amount: 12, items: 2 } }))
    expect(filled.body.scores).to.deep.equal(whole.body.scores)
    const values = (await recordsOf(pipeline)).map(({ value }) => JSON.parse(String(value)))
    expect(values, 'the event itself stays as it came').to.deep.include(bare)
  })

  it('answers an event that comes again with its first verdict, whoever is asked', async () => {
    const pipeline = await newPipeline()
    const [one, other] = [await serve(pipeline), await serve(pipeline)]
    const first = await one.detect(eventOf('e-1'))
    const again = [await one.detect(eventOf('e-1')), await other.detect(eventOf('e-1'))]
    for (const answer of again) {
      expect(answer.text).to.equal(first.text)
      expect(answer.headers.get('idempotent-replayed')).to.equal('true')
    }
    expect((await other.ask('/api/v1/results/e-1')).text).to.equal(first.text)
    for (const api of [one, other]) {
      const changed = await api.detect(eventOf('e-1', { value: 9e9 }))
      expect([changed.status, changed.body.reason]).to.deep.equal([409, 'EventIdReused'])
    }

    const apis = Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? one : other))
    const racing = await Promise.all(apis.map((api) => api.detect(eventOf('e-2'))))
    expect(racing.map(({ status }) => status)).to.deep.equal(Array(10).fill(200))
    expect(new Set(racing.map(({ text }) => text)).size, 'one verdict').to.equal(1)
    expect(racing.filter(({ headers }) => headers.has('idempotent-replayed'))).to.have.length(9)
    expect((await recordsOf(pipeline)).length).to.equal(2)
  })

  it('judges what comes at the same time together', async () => {
    const pipeline = await newPipeline()
    const api = await serve(pipeline)
    await api.detect(eventOf('first'))
    const calls = async () => {
      const { text } = await inference.probe('/metrics')
      return Number(/^anomaly_rpc_total\{method="ScoreRows",code="OK"\} (\d+)/m.exec(text)?.[1] ?? 0)
    }
    const before = await calls()
    const answers = await Promise.all(
      Array.from({ length: 64 }, (_, i) => api.detect(eventOf(`e-${i}`, { userId: `user-${i}` }))),
    )
    expect(answers.map(({ status }) => status)).to.deep.equal(Array(64).fill(200))
    expect((await calls()) - before).to.be.within(1, 32)
    expect((await recordsOf(pipeline)).length).to.equal(65)
  })

  it('gives a verdict for each event of a large batch, and says what is wrong with the others', async () => {
    const pipeline = await newPipeline()
    const api = await serve(pipeline, { deadlineMs: 60_000 })
    const huge = eventOf('huge', { note: 'x'.repeat(1_010_000) })
    const events: unknown[] = Array.from({ length: 5000 }, (_, i) => eventOf(`e-${i}`, { userId: `user-${i % 100}` }))
    events.splice(1000, 1, huge)
    events.splice(2000, 1, { eventId: 'keyless' })
    const { status, body } = await api.ask('/api/v1/detect/batch', events)
    expect(status).to.equal(200)
    expect(body).to.have.length(5000)
    expect(body[1000]).to.include({ reason: 'TooLarge', status: 413, index: 1000 })
    expect(body[2000]).to.include({ reason: 'MissingKey', status: 422, index: 2000 })
    expect(body.slice(2001).map(({ eventId }: { eventId: string }) => eventId)).to.deep.equal(
      events.slice(2001).map((event) => (event as { eventId: string }).eventId),
    )
    expect((await recordsOf(pipeline)).length).to.equal(4998)
  })

  it('answers 503 while the broker is away, says what is stored, and goes on when it is back', async () => {
    const pipeline = await newPipeline()
    const api = await serve(pipeline)
    kafka.proxy!.drop()
    for (const eventId of ['e-1', 'e-2', 'e-1']) {
      const answer = await api.detect(eventOf(eventId))
      expect(answer.status, answer.text).to.equal(503)
      expect(answer.headers.get('retry-after')).to.equal('1')
      expect(answer.body).to.include({ reason: 'Unavailable' })
      expect(answer.body.stored).to.be.oneOf(['Nothing', 'Unknown'])
    }
    const ready = await api.probe('/readyz')
    expect([ready.status, ready.text]).to.satisfy(
      ([status, text]: [number, string]) => status === 503 && /\[-\]kafka/.test(text),
    )
    expect((await api.probe('/livez')).status).to.equal(200)
    expect((await api.ask('/api/v1/health')).body).to.include({ status: 'DOWN' })
    expect((await api.ask('/api/v1/results/e-1')).status).to.equal(404)

    kafka.proxy!.accept()
    await eventually(async () => expect((await api.probe('/readyz')).status).to.equal(200))
    await eventually(async () => expect((await api.detect(eventOf('e-1'))).status).to.equal(200))
    const ids = (await recordsOf(pipeline)).map(({ value }) => JSON.parse(String(value)).eventId)
    expect(ids.filter((id) => id === 'e-1')).to.have.length(1)
  })

  it('publishes an event once whose acknowledgement is lost', async () => {
    const pipeline = await newPipeline()
    const api = await serve(pipeline)
    expect((await api.detect(eventOf('e-0'))).status).to.equal(200)
    const cut = kafka.proxy!.cutReply(kafkaApi.Produce)
    const [answer] = await Promise.all([api.detect(eventOf('e-1')), cut])
    expect(answer.status, answer.text).to.equal(200)
    const ids = (await recordsOf(pipeline)).map(({ value }) => JSON.parse(String(value)).eventId)
    expect(ids).to.have.members(['e-0', 'e-1'])
  })

  it('answers 503 within its deadline while the broker hangs', async () => {
    const pipeline = await newPipeline()
    const api = await serve(pipeline, { deadlineMs: 1500 })
    expect((await api.detect(eventOf('e-0'))).status).to.equal(200)
    kafka.proxy!.stall()
    const answer = await api.detect(eventOf('e-1'))
    expect([answer.status, answer.headers.get('retry-after')]).to.deep.equal([503, '1'])
    kafka.proxy!.flow()
    await eventually(async () => expect((await api.detect(eventOf('e-1'))).status).to.equal(200))
  })

  it('answers without inference within its deadline, and says so', async () => {
    const pipeline = await newPipeline()
    const api = await serve(pipeline)
    expect((await api.detect(eventOf('e-0'))).body).to.not.have.property('degraded')
    inference.pause()
    for (const eventId of ['e-1', 'e-2', 'e-3']) {
      const answer = await api.detect(eventOf(eventId))
      expect(answer.body).to.include({ eventId, degraded: 'ModelUnavailable', modelVersion: 'UNAVAILABLE' })
    }
    expect((await api.probe('/readyz')).status).to.equal(200)
    expect((await api.ask('/api/v1/health')).body).to.include({ status: 'DEGRADED' })
    inference.resume()
    let n = 0
    await eventually(async () => expect((await api.detect(eventOf(`r-${n++}`))).body).to.not.have.property('degraded'))
  })

  it('answers 503 without inference where the pipeline waits for its model', async () => {
    const pipeline = await newPipeline({ detection: { onModelUnavailable: 'Wait' } })
    const api = await serve(pipeline)
    inference.pause()
    const answer = await api.detect(eventOf('e-1'))
    expect([answer.status, answer.headers.get('retry-after')]).to.deep.equal([503, '1'])
    expect((await api.probe('/readyz')).text).to.match(/\[-\]inference failed/)
    expect((await api.probe('/livez')).status).to.equal(200)
    inference.resume()
    await eventually(async () => expect((await api.probe('/readyz')).status).to.equal(200))
    const retried = await api.detect(eventOf('e-1'))
    expect([retried.status, retried.headers.has('idempotent-replayed')]).to.deep.equal([200, false])
    expect((await recordsOf(pipeline)).length).to.equal(1)
  })

  it('answers without Redis, and says so', async () => {
    const pipeline = await newPipeline()
    await learn(pipeline)
    const api = await serve(pipeline)
    const before = await api.detect(eventOf('e-0'))
    await redis.kill()
    try {
      const answers = []
      for (let i = 1; i <= 3; i++)
        answers.push(await api.detect(eventOf(`e-${i}`, { features: { amount: 1, extra: i } })))
      for (const { status, body } of answers) {
        expect(status).to.equal(200)
        expect(body).to.include({ degraded: 'StateUnavailable' })
        expect(body.confidence).to.be.below(before.body.confidence)
      }
      expect((await api.probe('/readyz')).status).to.equal(200)
      expect((await api.ask('/api/v1/health')).body).to.include({ status: 'DEGRADED' })
      expect((await api.ask('/api/v1/results/e-0')).status).to.equal(503)
    } finally {
      await redis.restart()
    }
    let n = 0
    await eventually(async () => expect((await api.detect(eventOf(`r-${n++}`))).body).to.not.have.property('degraded'))
  })

  it('goes on within its deadline while Redis hangs', async () => {
    const pipeline = await newPipeline()
    const api = await serve(pipeline)
    await api.detect(eventOf('e-0'))
    redis.pause()
    try {
      for (const eventId of ['e-1', 'e-2']) {
        const answer = await api.detect(eventOf(eventId))
        expect(answer.body).to.include({ eventId, degraded: 'StateUnavailable' })
      }
    } finally {
      redis.resume()
    }
  })

  it('needs Kafka only for what it publishes', async () => {
    const pipeline = await newPipeline({ api: { publishEvents: 'Disabled' } })
    const api = await serve(pipeline)
    kafka.proxy!.drop()
    const answer = await api.detect(eventOf('e-1'))
    expect(answer.status).to.equal(200)
    expect((await api.probe('/readyz')).status).to.equal(200)
  })

  it('is one trace from the request through scoring to the record', async () => {
    const receiver = await startOtlpReceiver()
    const telemetry = await startTelemetry({ endpoint: receiver.endpoint, serviceName: 'test' })
    const pipeline = await newPipeline()
    try {
      const api = await serve(pipeline)
      await api.detect(eventOf('e-1'), { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' })
    } finally {
      await telemetry.stop!()
      await receiver.stop()
    }
    const named = (name: string) => receiver.spans.find((span) => span.name === name)
    const [detect, judge, score, publish] = ['detect', 'judge events', 'score rows', 'publish events'].map(named)
    expect(detect).to.include({
      traceId: '0af7651916cd43dd8448eb211c80319c',
      parentSpanId: 'b7ad6b7169203331',
      kind: 2,
    })
    expect(judge).to.include({ traceId: detect!.traceId, parentSpanId: detect!.spanId })
    expect(score).to.include({ traceId: detect!.traceId, parentSpanId: judge!.spanId, kind: 3 })
    expect(publish).to.include({ traceId: detect!.traceId, parentSpanId: detect!.spanId, kind: 4 })
    const [record] = await recordsOf(pipeline)
    expect(String(record!.headers.traceparent)).to.equal(`00-${detect!.traceId}-${detect!.spanId}-01`)
  })

  it('gives verdicts that the consumer publishes in place of its own; of others it makes its own', async () => {
    const pipeline = await newPipeline()
    const api = await serve(pipeline)
    const given = new Map<string, string>()
    for (let i = 0; i < 20; i++) given.set(`e-${i}`, (await api.detect(eventOf(`e-${i}`))).text)
    const { eventId: _, ...nameless } = eventOf('')
    const assigned = await api.detect(nameless)
    expect(assigned.body.eventId).to.match(/^api-/)
    given.set(assigned.body.eventId, assigned.text)

    const [genuine] = await recordsOf(pipeline)
    const { topic } = pipeline.spec.source
    const producer = await connectProducer(direct(pipeline))
    const lie = JSON.stringify({ ...JSON.parse(given.get('e-0')!), isAnomaly: true, lie: true })
    const verdict = String(genuine!.headers['anomaly-verdict'])
    const signature = String(genuine!.headers['anomaly-signature'])
    const foreign: readonly (readonly [string, Record<string, string>])[] = [
      ['unsigned', { 'anomaly-verdict': lie }],
      ['forged', { 'anomaly-verdict': lie, 'anomaly-signature': signature }],
      ['moved', { 'anomaly-verdict': verdict, 'anomaly-signature': signature }],
    ]
    await producer.send([{ topic, key: genuine!.key, value: genuine!.value, headers: genuine!.headers }])
    await producer.send(
      foreign.map(([eventId, headers]) => ({ topic, key: 'alice', value: JSON.stringify(eventOf(eventId)), headers })),
    )
    await producer.close()

    const stop = new AbortController()
    const state = stateOf(pipeline, redis.url)
    const consuming = runConsumer({
      pipeline,
      kafka: direct(pipeline),
      store: state,
      scorer: createGrpcScorer({ address: inference.address }),
      signingKey,
      probesPort: 0,
      stateBytes: 2 ** 26,
      log,
      beneath: [state],
      stop,
    })
    const results = async () =>
      (await recordsOf(pipeline, pipeline.spec.results.topic)).map(({ value }) => String(value))
    try {
      await eventually(async () => expect(await results()).to.have.length(25))
    } finally {
      stop.abort()
      await consuming
    }
    const published = new Map((await results()).map((json) => [JSON.parse(json).eventId as string, json]))
    expect(published.size).to.equal(24)
    const copied = JSON.parse(String(genuine!.value)).eventId as string
    const twice = (await results()).filter((json) => json === given.get(copied))
    expect(twice, 'a whole record copied is a second record').to.have.length(2)
    for (const [eventId, json] of given) expect(published.get(eventId), eventId).to.equal(json)
    for (const [eventId] of foreign)
      expect(JSON.parse(published.get(eventId)!), eventId)
        .to.include({ eventId, isAnomaly: false })
        .and.not.have.property('lie')
  })

  it('is a process that follows its tokens and ends well', async () => {
    const folder = temporaryFolder('api')
    const tokens = temporaryFolder('tokens')
    const file = (name: string, text: string) => {
      writeFileSync(join(folder, name), text)
      return join(folder, name)
    }
    writeFileSync(join(tokens, 'ci'), 'token-of-ci\n')
    writeFileSync(join(tokens, 'dashboard'), 'token-of-dashboard\n')
    const { apiVersion, kind, metadata, spec } = await newPipeline({
      api: { auth: { mode: 'Bearer', secretRef: { name: 'tokens' } } },
    })
    const [port, probesPort] = (await freePorts(2)) as [number, number]
    const args = [
      ...['api', '-f', file('pipeline.yaml', JSON.stringify({ apiVersion, kind, metadata, spec }))],
      ...['--port', String(port), '--probes-port', String(probesPort), '--inference', inference.address],
      // Redis asks for no password, and refuses the one that it is given.
      ...['--redis-url', redis.url.replace('://', '://:pass-of-redis@'), '--log-level', 'debug'],
      ...['--signing-key-file', file('key', 'a key of this pipeline only')],
      ...['--token-dir', tokens, '--drain-seconds', '0'],
    ]
    const client = clientOf(port, probesPort)
    const server = await startServer(process.execPath, [join(import.meta.dirname, '../../bin/anomaly.ts'), ...args], {
      log: join(folder, 'api.log'),
      ready: async () => (await client.probe('/readyz')).status === 200,
    })
    try {
      const statusWith = async (token?: string) =>
        (await client.detect(eventOf('e-1'), token === undefined ? {} : { Authorization: `Bearer ${token}` })).status
      expect(await statusWith()).to.equal(401)
      expect(await statusWith('token-of-nobody')).to.equal(401)
      expect(await statusWith('token-of-ci')).to.equal(200)
      expect(await statusWith('token-of-dashboard')).to.equal(200)
      writeFileSync(join(tokens, 'ci'), 'next-token-of-ci\n')
      await eventually(async () => expect(await statusWith('next-token-of-ci')).to.equal(200), 15_000)
      expect(await statusWith('token-of-ci')).to.equal(401)
      const metrics = (await client.probe('/metrics')).text
      expect(metrics).to.match(/^anomaly_detection_total\{verdict="normal"\} 0$/m)
      expect(metrics).to.match(/^anomaly_detection_time_seconds_count 1$/m)
      expect(await server.stop(60_000), 'exit code').to.equal(0)
      const logged = readFileSync(join(folder, 'api.log'), 'utf8')
      expect(logged).to.include('started')
      for (const secret of ['pass-of-redis', 'token-of', 'a key of this pipeline'])
        expect(logged, secret).to.not.include(secret)
    } finally {
      await server.kill()
      removeFolder(folder)
      removeFolder(tokens)
    }
  })
})

import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'chai'
import { openAdmin } from '../../lib/kafka/admin.ts'
import { readTopic } from '../../lib/kafka/read-topic.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { type Kafka, startKafka } from '../../tools/servers/kafka/kafka.ts'
import { kafkaApi } from '../../tools/servers/proxy.ts'
import { type Redis, startRedis } from '../../tools/servers/redis.ts'
import { freePorts } from '../../tools/servers/server.ts'
import { random } from '../../workloads/detection/random.ts'
import { verifyVerdict } from '../../workloads/wire/signed-verdict.ts'
import { kafkaOf, pipelineOf, type ServedApi, serveApi, signingKey } from './api/serve-api.ts'
import { type SpawnedApi, spawnApi } from './api/spawn-api.ts'
import { type ServedProcess, spawnInference } from './inference/serve.ts'

/** What became of a caller's event: the verdict, or that it gave up after it was told that nothing is stored. */
type Outcome = { readonly json: string } | 'GaveUp'

const seed = Number(process.env.SEED ?? 1)
const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('REST events while servers fail', function () {
  this.timeout(900_000)
  let kafka: Kafka
  let redis: Redis
  let inference: ServedProcess
  let count = 0

  before(async () => {
    // Claims of ids are there again after Redis was killed.
    const args = ['--appendonly', 'yes', '--appendfsync', 'always']
    ;[kafka, redis] = await Promise.all([startKafka({ proxied: true }), startRedis({ args })])
    const [port, probesPort] = (await freePorts(2)) as [number, number]
    inference = await spawnInference({ port, probesPort, redisUrl: redis.url })
  })
  after(async () => {
    await inference?.stop()
    await Promise.all([kafka?.stop(), redis?.stop()])
  })

  async function newPipeline(): Promise<Pipeline> {
    const pipeline = pipelineOf(`exact-${++count}`, kafka.proxy!.brokers)
    const { source, results } = pipeline.spec
    const admin = openAdmin({ ...kafkaOf(pipeline), brokers: kafka.brokers })
    const topics = [source.topic, results.topic, results.deadLetterTopic]
    await admin.createMissingTopics(topics.map((topic) => ({ topic, partitions: 4 })))
    admin.close()
    return pipeline
  }

  /** Each event until its caller has a verdict, whatever happens; every tenth caller gives up where nothing is stored. */
  async function sendAll(
    total: number,
    apiOf: (attempt: number) => Pick<ServedApi, 'detect'>,
    seen: Record<string, number>,
  ): Promise<Map<string, Outcome>> {
    const outcomes = new Map<string, Outcome>()
    let next = 0
    async function caller(): Promise<void> {
      while (next < total) {
        const n = next++
        const eventId = `e-${n}`
        const event = { eventId, timestamp: 1_700_000_000 + n, userId: `user-${n % 50}`, value: n % 7 }
        for (let attempt = n; !outcomes.has(eventId); attempt++) {
          const answer = await apiOf(attempt)
            .detect(event)
            .catch(() => undefined)
          const told = answer === undefined ? 'cut' : answer.status === 200 ? 'OK' : (answer.body.stored ?? answer.text)
          seen[told] = (seen[told] ?? 0) + 1
          if (answer?.status === 200) outcomes.set(eventId, { json: answer.text })
          else if (told === 'Nothing' && attempt === n && n % 10 === 0) outcomes.set(eventId, 'GaveUp')
          else await delay(50)
        }
      }
    }
    await Promise.all(Array.from({ length: 48 }, caller))
    return outcomes
  }

  /** Each verdict that was answered is in the topic once, with its event; nothing is of those who gave up. */
  async function expectExact(pipeline: Pipeline, outcomes: ReadonlyMap<string, Outcome>): Promise<void> {
    const { topic } = pipeline.spec.source
    const stored = new Map<string, (string | undefined)[]>()
    await readTopic({ ...kafkaOf(pipeline), brokers: kafka.brokers }, topic, ({ records }) => {
      for (const { key, value, headers } of records) {
        const { eventId } = JSON.parse(String(value))
        const json = verifyVerdict(signingKey, { topic, key, eventId, value }, headers)
        stored.set(eventId, [...(stored.get(eventId) ?? []), json])
      }
    })
    const wrong: string[] = []
    for (const [eventId, outcome] of outcomes) {
      const found = stored.get(eventId) ?? []
      const right = outcome === 'GaveUp' ? found.length === 0 : found.length === 1 && found[0] === outcome.json
      if (!right) wrong.push(`${eventId}: ${outcome === 'GaveUp' ? 'nothing' : 'one'} expected, ${found.length} found`)
    }
    expect(wrong).to.deep.equal([])
  }

  it('are in the topic once, with the verdict that was answered, while the broker stalls and its replies are lost', async () => {
    const pipeline = await newPipeline()
    const servers = { redisUrl: redis.url, inference: inference.address }
    const api = await serveApi(pipeline, servers, { deadlineMs: 1000 })
    const chance = random(`broker ${seed}`)
    const over = new AbortController()
    async function disturb(): Promise<void> {
      const proxy = kafka.proxy!
      while (!over.signal.aborted) {
        const what = chance.int(4)
        if (what === 0) void proxy.cutReply(kafkaApi.Produce)
        else if (what === 1) {
          proxy.stall()
          await delay(500 + chance.int(1500))
          proxy.flow()
        } else if (what === 2) {
          proxy.drop()
          await delay(100 + chance.int(900))
          proxy.accept()
        } else {
          kafka.pause()
          await delay(500 + chance.int(1500))
          kafka.resume()
        }
        await delay(100 + chance.int(400))
      }
    }
    const disturbing = disturb()
    const seen: Record<string, number> = {}
    const outcomes = await sendAll(4000, () => api, seen).finally(() => over.abort())
    await disturbing
    await api.stop()
    await expectExact(pipeline, outcomes)
    for (const told of ['OK', 'Nothing', 'Unknown']) expect(seen[told], JSON.stringify(seen)).to.be.above(0)
  })

  it('are in the topic once, with the verdict that was answered, while the broker and Redis are killed', async () => {
    const pipeline = await newPipeline()
    const api = await serveApi(pipeline, { redisUrl: redis.url, inference: inference.address }, { deadlineMs: 1000 })
    const chance = random(`servers ${seed}`)
    const over = new AbortController()
    async function disturb(): Promise<void> {
      for (let round = 0; !over.signal.aborted; round++) {
        await delay(500 + chance.int(1500))
        if (round % 2 === 0) {
          await kafka.kill()
          await kafka.restart({ downMs: chance.int(2000) })
        } else await redis.restart({ downMs: chance.int(2000) })
      }
    }
    const disturbing = disturb()
    const seen: Record<string, number> = {}
    const outcomes = await sendAll(2000, () => api, seen).finally(() => over.abort())
    await disturbing
    await api.stop()
    await expectExact(pipeline, outcomes)
    for (const told of ['OK', 'Unknown']) expect(seen[told], JSON.stringify(seen)).to.be.above(0)
  })

  it('are in the topic once, with the verdict that was answered, while replicas of the API are killed', async () => {
    const pipeline = await newPipeline()
    const servers = { redisUrl: redis.url, inference: inference.address }
    const apis = await Promise.all([spawnApi(pipeline, servers), spawnApi(pipeline, servers)])
    const chance = random(`api ${seed}`)
    const over = new AbortController()
    async function disturb(): Promise<void> {
      while (!over.signal.aborted) {
        const api = apis[chance.int(apis.length)] as SpawnedApi
        await delay(500 + chance.int(1500))
        if (chance.int(2) === 0) void kafka.proxy!.cutReply(kafkaApi.Produce)
        await api.kill()
        await api.start()
      }
    }
    const disturbing = disturb()
    const seen: Record<string, number> = {}
    const outcomes = await sendAll(6000, (attempt) => apis[attempt % apis.length]!, seen).finally(() => over.abort())
    await disturbing
    await Promise.all(apis.map((api) => api.close()))
    await expectExact(pipeline, outcomes)
    expect(seen.cut, JSON.stringify(seen)).to.be.above(0)
  })
})

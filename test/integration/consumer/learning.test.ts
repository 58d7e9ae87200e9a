import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'chai'
import { kafkaApi } from '../../../tools/servers/proxy.ts'
import { eventually } from '../../harness/eventually.ts'
import { type Cluster, judged, patience, type Role, type Scene, startCluster } from './cluster.ts'

/** Scores by what keys and partitions have learnt alone: a model is fitted on what came together by chance. */
const detection = {
  detectors: [
    { name: 'profile', profile: {} },
    { name: 'discord', discord: {} },
  ],
}

interface Judgement {
  readonly eventId: string
  readonly anomalyScore: number
  readonly threshold: number
  readonly isAnomaly: boolean
  readonly suppressedBy?: string
  readonly scores: object
}

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('What was learnt when servers and consumers failed', () => {
  let cluster: Cluster
  let scene: Scene
  let inference: string
  let consumer: Role

  before(async () => {
    cluster = await startCluster()
    scene = await cluster.scene({ detection, proxied: true })
    inference = (await scene.inference()).address
    await scene.feed(3000)
    consumer = await scene.consumer({ inference })
    await scene.caughtUp()
  })
  after(() => cluster?.stop())

  const written = () =>
    eventually(async () => expect(await consumer.metrics()).to.match(/^anomaly_state_pending_keys 0$/m), patience)

  /** What loses nothing that was learnt. */
  const faults: Readonly<Record<string, () => Promise<unknown>>> = {
    'replies to a commit were lost': async () => {
      const { proxy } = cluster.kafka
      await Promise.all(
        [kafkaApi.Produce, kafkaApi.TxnOffsetCommit, kafkaApi.EndTxn].map((api) => proxy!.cutReply(api)),
      )
    },
    'a consumer took the place of another': async () => {
      await consumer.stop(patience)
      consumer = await scene.consumer({ inference })
    },
    'the consumer was killed, after all was written': async () => {
      await written()
      await consumer.kill()
      consumer = await scene.consumer({ inference })
    },
    'the consumer stood still, after all was written, and woke up when another had its place': async () => {
      await written()
      const zombie = consumer
      zombie.pause()
      consumer = await scene.consumer({ inference })
      await scene.feed(500)
      await scene.caughtUp()
      zombie.resume()
      await scene.feed(500)
      await scene.caughtUp()
      await zombie.stop(patience)
    },
    'the connections to the broker were reset': async () => {
      cluster.kafka.proxy!.drop()
      await delay(1000)
      cluster.kafka.proxy!.accept()
    },
    'Redis stood still': async () => {
      cluster.redis.pause()
      await eventually(async () => expect((await consumer.status()).redis).to.match(/unreachable/), patience)
      await judged(consumer, 300)
      cluster.redis.resume()
    },
    'Redis came back empty': () => cluster.redis.restart({ downMs: 500 }),
    'the consumer was killed, after Redis had come back empty and all was written again': async () => {
      await cluster.redis.restart({ downMs: 500 })
      await eventually(async () => expect((await consumer.status()).redis).to.equal('ok'), patience)
      await scene.feed(300)
      await scene.caughtUp()
      await written()
      await consumer.kill()
      consumer = await scene.consumer({ inference })
    },
  }

  for (const [what, fault] of Object.entries(faults)) {
    it(`gives the scores of an undisturbed run: ${what}`, async () => {
      const isQuiet = what.includes('written')
      const load = isQuiet ? undefined : scene.load()
      await fault()
      if (load === undefined) await scene.feed(1000)
      else await judged(consumer, 1000)
      await load?.stop()
      await scene.caughtUp()
      expect(await judgementsOf(scene)).to.deep.equal(await undisturbed())
    })
  }

  /** Those of a consumer that reads the same topic from its begin, and is let alone. */
  async function undisturbed(): Promise<ReadonlyMap<string, Judgement>> {
    const other = await cluster.scene({ detection, source: scene.topics.source })
    await other.consumer({ inference })
    await other.caughtUp()
    const judgements = await judgementsOf(other)
    await other.stop()
    return judgements
  }

  async function judgementsOf(of: Scene): Promise<ReadonlyMap<string, Judgement>> {
    const verdicts = await of.expectExact()
    return new Map(
      verdicts.map(({ eventId, anomalyScore, threshold, isAnomaly, suppressedBy, scores }) => {
        const judgement = { eventId, anomalyScore, threshold, isAnomaly, scores }
        return [eventId, { ...judgement, ...(suppressedBy === undefined ? {} : { suppressedBy }) }]
      }),
    )
  }
})

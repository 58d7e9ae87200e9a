import { expect } from 'chai'
import type { KafkaAdmin } from '../../lib/kafka/admin.ts'
import { createManualClock, type ManualClock } from '../../lib/manual-clock.ts'
import { testParent } from '../desired/test-parent.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { createLagSampler } from './lag-sampler.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const key = 'shop/payments'
const second = 1000

describe('LagSampler', () => {
  let clock: ManualClock
  let lag: number
  let asked: unknown[]
  let changed: number
  let secret: KubeObject | null

  function start() {
    clock = createManualClock()
    lag = 0
    asked = []
    changed = 0
    secret = null
    const admin: KafkaAdmin = {
      async lag(...args) {
        asked.push(args)
        return new Map([[0, lag]])
      },
      topicOffsets: async () => new Map(),
      committedOffsets: async () => new Map(),
      topicId: async () => undefined,
      createMissingTopics: async () => [],
      close() {},
    }
    return createLagSampler({
      log: silent,
      clock,
      random: () => 0.5,
      changed: () => changed++,
      readyConsumers: () => 1,
      secret: () => secret,
      openAdmin: () => admin,
    })
  }
  async function pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= second) {
      await clock.advance(second)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  it('asks for the lag of a group as it is about to start', async () => {
    const sampler = start()
    sampler.follow(key, testParent().pipeline)
    await pass(2 * second)
    expect(asked[0]).to.deep.equal(['anomaly_shop_payments', 'anomaly-events', 'Latest'])
    sampler.stop()
  })

  it('tells at once of a lag that came, went or doubled, and once a minute of any other', async () => {
    const sampler = start()
    sampler.follow(key, testParent().pipeline)
    await pass(2 * second)
    const told = () => sampler.read(key).source?.lag
    lag = 60_000
    await pass(17 * second)
    expect(told()).to.equal(60_000)
    const before = changed
    lag = 50_000
    await pass(17 * second)
    expect([told(), changed]).to.deep.equal([60_000, before])
    await pass(60 * second)
    expect(told()).to.equal(50_000)
    lag = 0
    await pass(17 * second)
    expect(told()).to.equal(0)
    sampler.stop()
  })

  it('looks again as soon as a Secret that was in the way is another', async () => {
    const sampler = start()
    const sasl = { mechanism: 'Plain', secretRef: { name: 'kafka-user' } }
    const { pipeline } = testParent({ source: { brokers: ['kafka:9092'], sasl } })
    sampler.follow(key, pipeline)
    await pass(2 * second)
    expect(sampler.read(key).source?.problem?.message).to.contain('Secret kafka-user has no entry')
    const data = { username: 'dQ==', password: 'cA==' }
    secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'kafka-user', resourceVersion: '2' }, data }
    sampler.follow(key, pipeline)
    await pass(second)
    expect(sampler.read(key).source?.problem).to.equal(undefined)
    sampler.stop()
  })
})

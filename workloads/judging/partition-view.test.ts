import { expect } from 'chai'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Event } from '../detection/event.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import { random } from '../detection/random.ts'
import { Partition } from './partition.ts'
import { PartitionView } from './partition-view.ts'

const pipeline = parsePipeline({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'test' },
  spec: {
    source: { brokers: ['localhost:9092'] },
    detection: { detectors: [{ name: 'profile', profile: {} }], refractorySeconds: 0 },
  },
})
const schema = new FeatureSchema()
const { next } = random(1)
const event = (i: number, factor = 1): Event => ({
  id: `e${i}`,
  key: `k${i % 50}`,
  time: 1000 * i,
  value: 100 * factor * (0.9 + 0.2 * next()),
  features: [],
})

/** A view of a partition whose owner has learnt from 5,000 ordinary events. */
function opened() {
  const owner = new Partition(pipeline, { schema })
  const learn = (from: number, to: number) => {
    for (let i = from; i < to; i++) owner.decide(owner.observe([event(i)]), undefined)
  }
  learn(0, 5000)
  let now = 0
  const view = new PartitionView({
    pipeline,
    partition: 0,
    schema,
    store: { loadPartition: async () => owner.savePartition() },
    clock: () => now,
  })
  return {
    owner,
    learn,
    async judge(...events: readonly Event[]) {
      now += 2000
      await view.refresh()
      const states = new Map(events.map(({ key }) => [key, owner.saveKey(key)]))
      return view.judge(events, states, async () => undefined)
    },
  }
}

describe('PartitionView', () => {
  it('judges as the owner would, and learns nothing', async () => {
    const { owner, judge } = opened()
    const events = [event(5000), event(5001, 20), event(5002)]
    const first = await judge(...events)
    expect(first.map(({ isAnomaly }) => isAnomaly)).to.deep.equal([false, true, false])
    const scores = (verdicts: typeof first) =>
      verdicts.map(({ anomalyScore, confidence }) => [anomalyScore, confidence])
    expect(scores(await judge(...events))).to.deep.equal(scores(first))
    expect(scores(owner.decide(owner.observe(events), undefined))).to.deep.equal(scores(first))
  })

  it('spends no more than the quota of a block, however many ask and however old what the owner has written is', async () => {
    const { learn, judge } = opened()
    const flood = async () => {
      let alerts = 0
      for (let batch = 0; batch < 10; batch++) {
        const verdicts = await judge(...Array.from({ length: 50 }, (_, i) => event(6000 + i, 50)))
        alerts += verdicts.filter(({ isAnomaly }) => isAnomaly).length
        for (const { isAnomaly, suppressedBy } of verdicts) if (!isAnomaly) expect(suppressedBy).to.equal('Budget')
      }
      return alerts
    }
    expect(await flood()).to.be.within(1, 13)
    expect(await flood()).to.equal(0)
    learn(5000, 10_100)
    expect(await flood()).to.be.within(1, 13)
  })
})

import { expect } from 'chai'
import { fixedPipeline } from '../../lib/pipeline/live-pipeline.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { DetectionSpec } from '../../lib/pipeline/spec.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import { random } from '../detection/random.ts'
import type { Verdict } from '../detection/verdict.ts'
import { Partition } from './partition.ts'

const pipelineOf = (detection: object) =>
  parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'live' },
    spec: { source: { brokers: ['localhost:9092'] }, detection: { refractorySeconds: 0, ...detection } },
  })
const detectors = [{ name: 'profile', profile: {} }]
const detectionOf = (detection: object): DetectionSpec =>
  fixedPipeline(pipelineOf({ detectors, ...detection })).detection

describe('A partition whose pipeline changes', () => {
  const { next } = random('live')
  let count = 0
  /** Ordinary events, one in fifty of them strange. */
  function feed(partition: Partition, events: number): readonly Verdict[] {
    const batch = Array.from({ length: events }, () => {
      const value = 10 + next() + (next() < 0.02 ? 5 + 20 * next() : 0)
      return { id: `e${++count}`, time: count * 1000, key: `k${count % 20}`, value, features: [] }
    })
    const verdicts = partition.decide(partition.observe(batch), undefined)
    partition.commit()
    return verdicts
  }
  const alertsOf = (verdicts: readonly Verdict[]) => verdicts.filter(({ isAnomaly }) => isAnomaly).length
  const partitionOf = (detection: object) =>
    new Partition(pipelineOf({ detectors, ...detection }), { schema: new FeatureSchema(), staged: true })

  it('holds another alert budget from the next batch on, beginning where the threshold had come', () => {
    const partition = partitionOf({ alertBudgetPerMillion: 1000 })
    feed(partition, 30_000)
    const before = feed(partition, 1).at(-1)!.threshold
    partition.use(detectionOf({ alertBudgetPerMillion: 10_000 }))
    const [first] = feed(partition, 1)
    expect(first!.threshold).to.be.closeTo(before, 1e-3)
    expect(alertsOf(feed(partition, 30_000))).to.be.within(200, 390)
    partition.use(detectionOf({ alertBudgetPerMillion: 1000 }))
    feed(partition, 20_000)
    expect(alertsOf(feed(partition, 20_000))).to.be.below(27)
  })

  it('takes up rules, and a threshold in place of a budget', () => {
    const partition = partitionOf({
      alertBudgetPerMillion: 1000,
      rules: [{ name: 'low', field: 'value', below: '10.5' }],
    })
    feed(partition, 1000)
    const hits = (verdicts: readonly Verdict[], rule: string) =>
      verdicts.filter(({ reasons }) => reasons.some((reason) => reason.rule === rule)).length
    expect(hits(feed(partition, 100), 'low')).to.be.above(10)
    partition.use(detectionOf({ threshold: '0.5', rules: [{ name: 'high', field: 'value', above: '10.5' }] }))
    const verdicts = feed(partition, 100)
    expect([hits(verdicts, 'low'), verdicts[0]!.threshold]).to.deep.equal([0, 0.5])
    expect(hits(verdicts, 'high')).to.be.above(10)
  })

  it('takes up mutes, which silence by key, reason and time what would alert, and cost no budget', () => {
    const rules = [{ name: 'high', field: 'value', above: '1000000' }]
    const partition = partitionOf({ alertBudgetPerMillion: 50_000, rules })
    feed(partition, 5000)
    const judge = (key: number, value: number) => {
      while ((count + 1) % 20 !== key) feed(partition, 1)
      const event = { id: `e${++count}`, time: count * 1000, key: `k${key}`, value, features: [] }
      return partition.decide(partition.observe([event]), undefined)[0]!
    }
    const told = (verdict: Verdict) => [verdict.isAnomaly, verdict.suppressedBy, verdict.reasons[0]?.feature]
    const until = new Date((count + 30) * 1000).toISOString()
    partition.use(
      detectionOf({ alertBudgetPerMillion: 50_000, rules, mutes: [{ keys: ['k1*'], reasons: ['value'], until }] }),
    )
    const { threshold } = judge(5, 10)
    expect(told(judge(1, 5_000_000))).to.deep.equal([false, 'Muted', 'value'])
    expect(told(judge(11, 500_000))).to.deep.equal([false, 'Muted', 'value'])
    expect(judge(5, 10).threshold).to.be.below(threshold)
    expect(told(judge(1, 500_000))).to.deep.equal([true, undefined, 'value'])
    expect(told(judge(2, 500_000))).to.deep.equal([true, undefined, 'value'])
    expect(told(judge(3, 5_000_000))).to.deep.equal([true, undefined, 'value'])
    partition.commit()
  })

  it('is silent from the start where everything is muted', () => {
    const verdicts = feed(
      partitionOf({ threshold: '0.9', mutes: [{ keys: ['*'], until: '2100-01-01T00:00:00Z' }] }),
      2000,
    )
    expect(alertsOf(verdicts)).to.equal(0)
    expect(verdicts.filter(({ suppressedBy }) => suppressedBy === 'Muted').length).to.be.above(20)
  })

  it('is undone to what it was, and judged anew by what it is now', () => {
    const partition = partitionOf({ alertBudgetPerMillion: 1000 })
    feed(partition, 5000)
    const shared = partition.savePartition()
    const event = { id: 'x', time: 9e9, key: 'k1', value: 10.5, features: [] }
    partition.decide(partition.observe([event]), undefined)
    partition.use(detectionOf({ alertBudgetPerMillion: 2000 }))
    partition.rollback()
    expect(Buffer.from(partition.savePartition()).equals(Buffer.from(shared))).to.equal(true)
  })

  it('takes up a refractory period, also for the alerts and the episodes of before', () => {
    const partition = partitionOf({ threshold: '0.9', refractorySeconds: 86_400 })
    feed(partition, 5000)
    const silenced = (verdicts: readonly Verdict[]) =>
      verdicts.filter(({ suppressedBy }) => suppressedBy === 'Refractory').length
    expect(silenced(feed(partition, 2000))).to.be.above(20)
    partition.use(detectionOf({ threshold: '0.9', refractorySeconds: 0 }))
    const verdicts = feed(partition, 2000)
    expect(silenced(verdicts)).to.equal(0)
    expect(alertsOf(verdicts)).to.be.above(20)
    const [first] = verdicts.filter(({ isAnomaly }) => isAnomaly)
    partition.episodes.add(first!, [])
    expect(partition.episodes.size).to.equal(1)
    // A minute without anything unusual is enough now; it would have been two days.
    const later = first!.timestamp! + 12 * 60_000 + 1
    partition.episodes.add({ ...first!, eventId: 'later', userId: 'other', timestamp: later, isAnomaly: false }, [])
    expect(partition.episodes.size).to.equal(0)
  })
})

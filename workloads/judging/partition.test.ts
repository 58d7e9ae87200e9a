import { expect } from 'chai'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { Event } from '../detection/event.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import { random } from '../detection/random.ts'
import type { ScoredRows } from '../detection/scored-rows.ts'
import type { Verdict } from '../detection/verdict.ts'
import { Partition } from './partition.ts'

function pipelineWith(detection: object, event: object = {}): Pipeline {
  return parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'test' },
    spec: { source: { brokers: ['localhost:9092'] }, event, detection },
  })
}

const profileOnly = { detectors: [{ name: 'profile', profile: {} }] }
const both = {
  detectors: [
    { name: 'profile', profile: {} },
    { name: 'forest', isolationForest: {} },
  ],
}

/** Events of `keys` keys, a minute apart, each key with its own level; reproducible. */
function stream(count: number, keys = 20, seed = 1): Event[] {
  const { next } = random(seed)
  return Array.from({ length: count }, (_, i) => {
    const key = i % keys
    const noise = next() + next() + next() + next() - 2
    return {
      id: `e${i}`,
      key: `k${key}`,
      time: 1_700_000_000_000 + 60_000 * Math.floor(i / keys) + 1000 * key,
      value: 100 * (key + 1) * (1 + 0.1 * noise),
      features: [next(), next()],
    }
  })
}

function partitionOf(
  pipeline: Pipeline,
  options: { staged?: boolean; stateBytes?: number; onEvict?: (key: string) => void } = {},
): Partition {
  return new Partition(pipeline, { schema: new FeatureSchema(['a', 'b']), ...options })
}

/** Verdicts of all events, cut into batches of `size`. */
function judge(partition: Partition, events: readonly Event[], size = 100, scored?: ScoredRows): Verdict[] {
  const verdicts: Verdict[] = []
  for (let at = 0; at < events.length; at += size) {
    const batch = partition.observe(events.slice(at, at + size))
    verdicts.push(...partition.decide(batch, scored))
  }
  return verdicts
}

const spike = (after: Event, factor: number, seconds = 60): Event => ({
  ...after,
  id: 'spike',
  time: after.time + seconds * 1000,
  value: after.value * factor,
})

describe('Partition', () => {
  it('keeps to its alert budget on a stream without anomalies', () => {
    const verdicts = judge(
      partitionOf(pipelineWith({ ...profileOnly, alertBudgetPerMillion: 5000, refractorySeconds: 0 })),
      stream(60_000),
    )
    const alerts = verdicts.slice(10_000).filter((verdict) => verdict.isAnomaly).length
    expect(alerts).to.be.within(180, 320)
  })

  it('alerts on a spike, with the value as its first reason', () => {
    const partition = partitionOf(pipelineWith(profileOnly))
    const events = stream(5000)
    judge(partition, events)
    const [verdict] = judge(partition, [spike(events.at(-1)!, 20)])
    expect(verdict).to.include({ isAnomaly: true, modelVersion: 'NONE', eventId: 'spike' })
    expect(verdict!.anomalyScore).to.be.greaterThan(verdict!.threshold)
    expect(verdict!.reasons[0]).to.include({
      detector: 'profile',
      feature: 'value',
      observed: events.at(-1)!.value * 20,
    })
    expect(verdict!.reasons[0]!.expected).to.be.within(1500, 2500)
    expect(verdict!.reasons[0]!.contribution).to.be.within(0.3, 1)
  })

  it('does not depend on where the stream is cut into batches', () => {
    const events = stream(3000)
    const inOne = judge(partitionOf(pipelineWith(profileOnly)), events, 3000)
    expect(judge(partitionOf(pipelineWith(profileOnly)), events, 1)).to.deep.equal(inOne)
    expect(judge(partitionOf(pipelineWith(profileOnly)), events, 77)).to.deep.equal(inOne)
  })

  it('alerts an episode once, again when it gets much worse, and again after the refractory period', () => {
    const partition = partitionOf(pipelineWith({ ...profileOnly, alertBudgetPerMillion: 5000, refractorySeconds: 300 }))
    const events = stream(5000)
    judge(partition, events)
    const last = events.at(-1)!
    const said = (factor: number, seconds: number) => judge(partition, [spike(last, factor, seconds)])[0]!
    expect(said(3, 60)).to.include({ isAnomaly: true })
    expect(said(3.1, 120)).to.include({ isAnomaly: false, suppressedBy: 'Refractory' })
    expect(said(1e6, 130)).to.include({ isAnomaly: true })
    expect(said(3.1, 1000)).to.include({ isAnomaly: true })
  })

  it('lets rules alert every time, from the first event on, outside everything else', () => {
    const partition = partitionOf(
      pipelineWith({
        ...profileOnly,
        rules: [
          { name: 'limit', field: 'value', above: '5000' },
          { name: 'mean', field: 'mean(features)', below: '-1' },
        ],
      }),
    )
    const [event] = stream(1)
    for (const _ of [1, 2, 3]) {
      const [verdict] = judge(partition, [{ ...event!, value: 6000 }])
      expect(verdict).to.include({ isAnomaly: true, confidence: 1 })
      expect(verdict).to.not.have.property('suppressedBy')
      expect(verdict!.reasons[0]).to.deep.equal({
        detector: 'rule',
        rule: 'limit',
        feature: 'value',
        observed: 6000,
        expected: 5000,
        contribution: 1,
      })
    }
    expect(judge(partition, [{ ...event!, features: [-3, -1] }])[0]!.reasons[0]).to.include({
      rule: 'mean',
      observed: -2,
      expected: -1,
    })
    expect(
      judge(partition, [{ ...event!, value: Number.NaN, features: [Number.NaN, Number.NaN] }])[0]!.isAnomaly,
    ).to.equal(false)
  })

  it('alerts nothing but rules while it learns', () => {
    const verdicts = judge(partitionOf(pipelineWith({ ...profileOnly, threshold: '0.5' })), stream(200))
    expect(verdicts.some((verdict) => verdict.isAnomaly)).to.equal(false)
    expect(verdicts.some((verdict) => verdict.suppressedBy === 'Learning')).to.equal(true)
  })

  it('goes by a fixed threshold where one is given', () => {
    const verdicts = judge(
      partitionOf(pipelineWith({ ...profileOnly, threshold: '0.99', refractorySeconds: 0 })),
      stream(40_000),
    ).slice(20_000)
    for (const { isAnomaly, anomalyScore, threshold } of verdicts) {
      expect(threshold).to.be.closeTo(0.99, 1e-12)
      expect(isAnomaly).to.equal(anomalyScore >= threshold)
    }
    expect(verdicts.filter((verdict) => verdict.isAnomaly).length / verdicts.length).to.be.within(0.006, 0.016)
  })

  it('says what it had to do without', () => {
    const partition = partitionOf(pipelineWith(both))
    const [unavailable] = judge(partition, stream(1))
    expect(unavailable).to.include({ modelVersion: 'UNAVAILABLE', degraded: 'ModelUnavailable' })
    const surprisals = [Float64Array.of(Number.NaN, 3)]
    const scored: ScoredRows = {
      modelVersionOf: (row) => (row === 0 ? 'LEARNING' : 'forest-256'),
      surprisals,
      explanations: new Map(),
    }
    const [learning, answered] = judge(partition, stream(2), 2, scored)
    expect(learning).to.include({ modelVersion: 'LEARNING' }).and.to.not.have.property('degraded')
    expect(Object.keys(learning!.scores)).to.deep.equal(['profile'])
    expect(answered).to.include({ modelVersion: 'forest-256' })
    expect(answered!.scores.forest).to.be.closeTo(1 - Math.exp(-3), 1e-12)
  })

  it('is more confident with history, with all fields and with a model', () => {
    const partition = partitionOf(pipelineWith(profileOnly))
    const events = stream(2000)
    const verdicts = judge(partition, events)
    expect(verdicts[0]!.confidence).to.equal(0)
    expect(verdicts.at(-1)!.confidence).to.be.within(0.85, 1)
    const [without] = judge(partition, [{ ...events.at(-1)!, value: Number.NaN, features: [] }])
    expect(without!.confidence).to.equal(0)
    const [half] = judge(partition, [{ ...events.at(-1)!, features: [Number.NaN, 0.5] }])
    expect(half!.confidence).to.be.within(0.55, 0.7)
  })

  it('lays out rows: value, the view of the profile, then the features of the schema', () => {
    const partition = partitionOf(pipelineWith(both))
    judge(partition, stream(100))
    const { rows, columns } = partition.observe([{ id: 'e', key: 'k1', time: Number.NaN, value: 200, features: [7] }])
    expect(columns).to.deep.equal(['value', 'value.deviation', 'interval.deviation', 'a', 'b'])
    expect([rows[0], rows[2], rows[3], rows[4]]).to.deep.equal([200, Number.NaN, 7, Number.NaN])
    expect(rows[1]).to.be.within(-2, 2)
    const keyless = partitionOf(
      pipelineWith({ detectors: [{ name: 'forest', isolationForest: {} }] }, { key: '', value: '' }),
    )
    expect(keyless.observe(stream(1)).columns).to.deep.equal(['a', 'b'])
  })

  describe('staged', () => {
    const staged = () => partitionOf(pipelineWith(profileOnly), { staged: true })

    it('undoes what was not committed, to the last bit, over several batches', () => {
      const partition = staged()
      const events = stream(4000)
      judge(partition, events.slice(0, 2000))
      partition.commit()
      const before = { partition: partition.savePartition(), key: partition.saveKey('k3'), keys: partition.keys }
      judge(partition, [...events.slice(2000, 2500), { ...events[0]!, key: 'new' }])
      judge(partition, events.slice(2500, 3000))
      partition.rollback()
      expect({
        partition: partition.savePartition(),
        key: partition.saveKey('k3'),
        keys: partition.keys,
      }).to.deep.equal(before)
      expect(partition.saveKey('new')).to.equal(undefined)
      const again = judge(partition, events.slice(2000, 3000))
      const undisturbed = staged()
      expect(judge(undisturbed, events.slice(0, 3000)).slice(2000)).to.deep.equal(again)
    })

    it('undoes what a batch with new features learnt of them', () => {
      const wide = (events: readonly Event[]) =>
        events.map((event) => ({ ...event, features: [...event.features, 5, 6, 7, 8, 9] }))
      const schema = new FeatureSchema(['a', 'b'])
      const events = stream(2000)
      const judgeAll = (isDisturbed: boolean) => {
        const partition = new Partition(pipelineWith(profileOnly), { schema, staged: true })
        judge(partition, events.slice(0, 1000))
        partition.commit()
        if (isDisturbed) {
          judge(partition, wide(events.slice(1000, 1500)))
          partition.rollback()
        }
        return judge(partition, wide(stream(500, 20, 9)))
      }
      for (const name of ['c', 'd', 'e', 'f', 'g']) schema.append(name)
      expect(judgeAll(true)).to.deep.equal(judgeAll(false))
    })

    it('tells which keys a commit made dirty', () => {
      const partition = staged()
      judge(partition, stream(3))
      expect(partition.commit().keys).to.have.members(['k0', 'k1', 'k2'])
      expect(partition.commit().keys).to.deep.equal([])
    })
  })

  it('goes on elsewhere from what was saved', () => {
    const events = stream(4000)
    const former = partitionOf(pipelineWith(profileOnly))
    judge(former, events.slice(0, 3000))
    const next = partitionOf(pipelineWith(profileOnly))
    expect(next.loadPartition(former.savePartition())).to.equal(true)
    expect(next.missingKeys(events.slice(3000, 3020))).to.have.length(20)
    for (const key of next.missingKeys(events.slice(3000))) expect(next.adopt(key, former.saveKey(key)!)).to.equal(true)
    expect(next.missingKeys(events.slice(3000))).to.deep.equal([])
    expect(judge(next, events.slice(3000))).to.deep.equal(judge(former, events.slice(3000)))
  })

  it('leaves memories of other detectors aside', () => {
    const other = partitionOf(pipelineWith({ detectors: [{ name: 'discord', discord: {} }] }))
    judge(other, stream(40))
    const partition = partitionOf(pipelineWith(profileOnly))
    expect(partition.loadPartition(other.savePartition())).to.equal(false)
    expect(partition.adopt('k1', other.saveKey('k1')!)).to.equal(false)
    expect(partition.adopt('k2', Uint8Array.of(1, 2, 3))).to.equal(false)
    expect(judge(partition, stream(40))).to.have.length(40)
  })

  it('forgets the keys unused for longest when its memory is full, and says so before', () => {
    const evicted: string[] = []
    const partition = partitionOf(pipelineWith(profileOnly), { stateBytes: 1, onEvict: (key) => evicted.push(key) })
    judge(partition, stream(10_000, 10_000))
    expect(partition.keys).to.equal(4096)
    expect(evicted).to.deep.equal(Array.from({ length: 10_000 - 4096 }, (_, i) => `k${i}`))
  })

  it('gives up memory when its bound is lowered, and judges the keys that it keeps as before', () => {
    for (const detectors of [profileOnly, { detectors: [{ name: 'discord', discord: {} }] }]) {
      const events = stream(20_000, 5000)
      const evicted: string[] = []
      const partition = partitionOf(pipelineWith(detectors), { onEvict: (key) => evicted.push(key) })
      const other = partitionOf(pipelineWith(detectors))
      judge(partition, events)
      judge(other, events)
      partition.limitState(1)
      expect(partition.keys).to.equal(4096)
      expect(evicted).to.deep.equal(Array.from({ length: 5000 - 4096 }, (_, i) => `k${i}`))
      const later = stream(25_000, 5000)
        .slice(20_000)
        .filter(({ key }) => !evicted.includes(key))
      expect(judge(partition, later)).to.deep.equal(judge(other, later))
      expect(partition.keys).to.equal(4096)
    }
  })

  it('forgets no key whose change may still be undone, however many a transaction has', () => {
    const evicted: string[] = []
    const partition = partitionOf(pipelineWith(profileOnly), {
      staged: true,
      stateBytes: 1,
      onEvict: (key) => evicted.push(key),
    })
    const transaction = () => {
      for (const slice of [0, 2000, 4000, 6000]) {
        partition.limitState(1)
        judge(partition, stream(8000, 8000).slice(slice, slice + 2000), 2000)
      }
    }
    transaction()
    partition.rollback()
    expect(partition.keys).to.equal(0)
    transaction()
    expect(evicted).to.deep.equal([])
    expect(partition.commit().keys).to.have.length(8000)
    expect(partition.keys).to.equal(8000)
    partition.limitState(1)
    expect(partition.keys).to.equal(4096)
    expect(evicted).to.have.length(8000 - 4096)
  })

  it('keeps a million keys in the memory that it was given', () => {
    const stateBytes = 32 * 2 ** 20
    const before = process.memoryUsage().arrayBuffers
    const partition = partitionOf(pipelineWith(profileOnly), { stateBytes })
    const event = (i: number): Event => ({ id: 'e', time: i, key: `user-${i}`, value: i % 97, features: [] })
    const million = (from: number) => {
      for (let i = from; i < from + 500_000; i += 500)
        judge(
          partition,
          Array.from({ length: 500 }, (_, j) => event(i + j)),
        )
    }
    million(0)
    const keys = partition.keys
    million(500_000)
    expect(keys).to.be.within(100_000, 250_000)
    expect(partition.keys).to.equal(keys)
    // Not the memory of the process, in which other tests left what they left.
    expect(process.memoryUsage().arrayBuffers - before).to.be.below(stateBytes)
  })
})

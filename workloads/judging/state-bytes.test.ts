import { expect } from 'chai'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Event } from '../detection/event.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import type { ScoredRows } from '../detection/scored-rows.ts'
import { Partition } from './partition.ts'

const pipelineWith = (detection: object) =>
  parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'test' },
    spec: { source: { brokers: ['localhost:9092'] }, detection },
  })
const partitionOf = (detection: object = {}) =>
  new Partition(pipelineWith(detection), { schema: new FeatureSchema(['a']) })

const scored: ScoredRows = { modelVersionOf: () => 'm', surprisals: [Float64Array.of(1)], explanations: new Map() }
const event = (i: number, value: number): Event => ({ id: 'e', key: 'k', time: 60_000 * i, value, features: [2] })

function judge(partition: Partition, ...events: readonly Event[]) {
  return events.flatMap((one) => partition.decide(partition.observe([one]), scored))
}

describe('Stored state', () => {
  it('begins with the id of its layout, which no rename of a class changes', () => {
    const partition = partitionOf({
      detectors: [
        { name: 'p', profile: {} },
        { name: 'd', discord: {} },
      ],
    })
    partition.decide(partition.observe([event(0, 1)]), undefined)
    const id = Buffer.from('33384dd2', 'hex')
    expect(partition.saveKey('k')!.subarray(0, 4)).to.deep.equal(Uint8Array.from(id))
    expect(partition.savePartition().subarray(0, 4)).to.deep.equal(Uint8Array.from(id))
  })

  it('is read back as it was written', () => {
    const [one, other] = [partitionOf(), partitionOf()]
    judge(one, ...Array.from({ length: 300 }, (_, i) => event(i, 100 + (i % 7))))
    expect(other.loadPartition(one.savePartition())).to.equal(true)
    expect(other.adopt('k', one.saveKey('k')!)).to.equal(true)
    expect(judge(other, event(300, 200))).to.deep.equal(judge(one, event(300, 200)))
  })

  it('that is cut short anywhere, or of other detectors, is left aside and changes nothing', () => {
    const partition = partitionOf()
    judge(partition, ...Array.from({ length: 300 }, (_, i) => event(i, 100 + (i % 7))))
    const before = partition.savePartition()
    for (const length of [0, 3, 4, 7, 8, 30, 500, before.length - 1])
      expect(partition.loadPartition(before.subarray(0, length))).to.equal(false)
    const others = partitionOf({ detectors: [{ name: 'another', profile: {} }] })
    expect(partition.loadPartition(others.savePartition())).to.equal(false)
    expect(partition.savePartition()).to.deep.equal(before)
    for (const length of [0, 3, 10]) expect(partition.adopt('x', before.subarray(0, length))).to.equal(false)
  })
})

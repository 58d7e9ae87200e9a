import { brotliDecompressSync } from 'node:zlib'
import { expect } from 'chai'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Event } from '../detection/event.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import type { ScoredRows } from '../detection/scored-rows.ts'
import { Partition } from './partition.ts'

/**
 * What the first version stored of one key after 300 events: a value around 104 and a feature around 2, one event a
 * minute, profile and forest. Brotli, base64.
 */
const former = {
  key: [
    'G1MA+C8PeLjeAkGCboJTBN5Sc/gU/KQ7IchugBdLw6jSxCIMw6QnwNF/Bw0B/c0ygO8UbbfvASHFT9lgMl+62BQOFMWfjHMAaEEG',
    'q/qPSxxvD9hC7YEJ',
  ],
  partition: [
    'GwsWAK4KeDIek1KOTT06SIyo8Sg+AWf11xfieZ793H0Txa0RMmk/ZBqEQhaLeMmEuMRZXKYkz0uIazlZkvx/u3aFMbGbRCMUh9QM',
    'Y1dTGBpnc4Sbqnm37QlE0BFCZIKEOLgdDG5RyIF4vREb/e//TuVszPuA90JHoQBN9I2TAph0aG2SlqwRLgWL5YKMiXheOu3GgnjB',
    'F1jhv139Zw4kZWKupl0Zs96W/wcNu996SRCBQH/XdW72mFfv7jh4/io8PeTcAJQmdDJdWCfG04X3iuQywaMhNbyIJRSrgQDVh017',
    'LSuc4xSH0sq/N9f27Zg3oFmJQgn8OTHajCoJj8OkEHRJyET3oPfG7QQAunvw1+9acncFThl7JcTeJUDwVzmAsvRBIAICIH4gIL5Q',
    'sMwHbIBENxLvwK1WLXGWA69ePEt4Uh6NGUUjcmSCL91zxhgVITsXdTI1Zntb8LDupMwql4zdq74xnkQq52J1JaRgFkSCCaOcwBiW',
    'DGu4C1d6ZNCGEuyJ6oZn5zxO8MOJeS0KpIoVLpgfL+5cOLBjwwz4fW6HzWLS6zQqhUwiEvJ5HBaTTqOSSUQPy24aNl1TUorTcSCy',
    'ObeO2fpjoPqqlVTQCren431eAAkAlN0EZQCoO2hY02aRG+2EGJYAKAwQEbYDBRkOKEsBOYlGvXYor57dOp3s2JZxwzo1KFEkWRRP',
    '7mxpnYLdihazqWrQq5V8wteBiqxHW/fi5GdeUWEFwCDA6Vrxx+8cHvJ7eToxSwdjP94Bbvbgasm7+0Ivo3/+j3rZe4AbdjJYCwVv',
    'EoOMQDd7j0t4yv6mG6ABCg59+z2rM/xpZ9lNQdpBX3XkIMJkRMGuSMHD/rBCYB/6ARNiUgx8+RzMB/POvAmv0otdz9IT/uhOgWwh',
    'K3xRIy/O2QM=',
  ],
}

const bytesOf = (lines: readonly string[]) => brotliDecompressSync(Buffer.from(lines.join(''), 'base64'))

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
  it('of the first version is read', () => {
    const partition = partitionOf()
    expect(partition.loadPartition(bytesOf(former.partition))).to.equal(true)
    expect(partition.adopt('k', bytesOf(former.key))).to.equal(true)
    const [ordinary, spike] = judge(partition, event(300, 104), event(301, 900))
    expect(ordinary!.confidence).to.be.closeTo(300 / 310, 1e-6)
    expect(ordinary!.anomalyScore).to.be.below(0.9)
    expect(spike!.reasons[0]).to.include({ detector: 'profile', feature: 'value', observed: 900 })
    expect(spike!.reasons[0]!.expected).to.be.within(102, 107)
    expect(spike).to.not.have.property('suppressedBy', 'Learning')
  })

  it('begins with the id of its layout, which no rename of a class changes', () => {
    const partition = partitionOf({
      detectors: [
        { name: 'p', profile: {} },
        { name: 'd', discord: {} },
      ],
    })
    partition.decide(partition.observe([event(0, 1)]), undefined)
    const id = Buffer.from('a8550494', 'hex')
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
    for (const shared of [before, bytesOf(former.partition)])
      for (const length of [0, 3, 4, 7, 8, 30, 500, shared.length - 1])
        expect(partition.loadPartition(shared.subarray(0, length))).to.equal(false)
    const others = partitionOf({ detectors: [{ name: 'another', profile: {} }] })
    expect(partition.loadPartition(others.savePartition())).to.equal(false)
    expect(partition.savePartition()).to.deep.equal(before)
    for (const length of [0, 3, 10]) expect(partition.adopt('x', before.subarray(0, length))).to.equal(false)
  })
})

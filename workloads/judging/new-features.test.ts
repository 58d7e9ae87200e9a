import { expect } from 'chai'
import { Registry } from 'prom-client'
import type { Logger } from '../../lib/log.ts'
import { NewFeatures } from './new-features.ts'

describe('NewFeatures', () => {
  it('tells once in the log, in a metric, and for an hour in the status', async () => {
    let now = 0
    const lines: string[] = []
    const log = { info: (_: object, message: string) => lines.push(message) } as unknown as Logger
    const registry = new Registry()
    const features = new NewFeatures({ registry, log, wall: () => now })
    features.announce([])
    features.announce(['a', 'b'])
    now += 1_800_000
    features.announce(['d'])
    expect(lines).to.deep.equal(['new feature seen: a, b', 'new feature seen: d'])
    expect(await registry.metrics()).to.include('anomaly_new_features_total 3')
    expect(features.lately).to.deep.equal(['new feature seen: a', 'new feature seen: b', 'new feature seen: d'])
    now += 1_900_000
    expect(features.lately).to.deep.equal(['new feature seen: d'])
  })

  it('is brief where one event brings hundreds', () => {
    const lines: string[] = []
    const log = { info: (_: object, message: string) => lines.push(message) } as unknown as Logger
    const features = new NewFeatures({ registry: new Registry(), log, wall: () => 0 })
    features.announce(Array.from({ length: 998 }, (_, i) => `x${i}`))
    expect(lines[0]).to.match(/^new feature seen: x0, .* and 978 more$/)
    expect(features.lately).to.have.length(20)
  })
})

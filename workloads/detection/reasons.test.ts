import { expect } from 'chai'
import { Evidence, intervalField, valueField } from './evidence.ts'
import { FeatureSchema } from './feature-schema.ts'
import { Reasons } from './reasons.ts'

const event = { id: 'e', key: 'k', time: Number.NaN, value: 950, features: [7] }

function reasonsOf(add: (reasons: Reasons, evidence: Evidence) => void) {
  const reasons = new Reasons(new FeatureSchema(['a']), [])
  reasons.begin([], event)
  reasons.keep(3)
  add(reasons, new Evidence())
  return reasons.list
}

const explained = (column: string, contribution: number, observed = 7) => ({
  model: 0,
  column,
  observed,
  expected: 2,
  contribution,
})

describe('Reasons', () => {
  it('name a field once, with the detectors that agree', () => {
    const list = reasonsOf((reasons, evidence) => {
      evidence.offer(valueField, 950, 42, 6)
      reasons.addEvidence('profile', evidence, 0.6)
      reasons.addExplanation('forest', explained('value.deviation', 0.5, 3.1), 0.4)
      reasons.addExplanation('forest', explained('value', 0.25, 950), 0.4)
      reasons.addExplanation('forest', explained('a', 0.1), 0.4)
    })
    expect(list.map(({ feature }) => feature)).to.deep.equal(['value', 'a'])
    const { contribution, ...value } = list[0]!
    expect(value).to.deep.equal({
      detector: 'profile',
      feature: 'value',
      observed: 950,
      expected: 42,
      agreeing: ['forest'],
    })
    expect(contribution).to.be.closeTo(0.9, 1e-12)
    expect(list[1]).to.not.have.property('agreeing')
  })

  it('speak in the units of the event, where the profile saw nothing too', () => {
    const list = reasonsOf((reasons) => {
      reasons.addExplanation('forest', explained('interval.deviation', 0.6, 1.6e-9), 1)
      reasons.addExplanation('forest', explained('value.deviation', 0.3, 2.2), 1)
      reasons.addExplanation('forest', explained('value', 0.1, 950), 1)
    })
    expect(list).to.have.length(1)
    expect(list[0]).to.include({ detector: 'forest', feature: 'value', observed: 950, expected: 2 })
  })

  it('put a reason that gains from another detector before those it outweighs', () => {
    const list = reasonsOf((reasons, evidence) => {
      evidence.offer(intervalField, 1, 60, 5)
      evidence.offer(valueField, 950, 42, 4)
      reasons.addEvidence('profile', evidence, 0.5)
      reasons.addExplanation('forest', explained('value', 1, 950), 0.5)
    })
    expect(list.map(({ feature }) => feature)).to.deep.equal(['value', 'interval'])
  })
})

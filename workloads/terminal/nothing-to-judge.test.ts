import { expect } from 'chai'
import { hasNumbers, nothingToJudge } from './nothing-to-judge.ts'

const event = (value: number, features: readonly number[]) => ({ id: 'a', time: 0, key: 'k', value, features })
const mapping = { id: 'eventId', time: 'timestamp', key: 'userId', value: 'value' }

describe('hasNumbers()', () => {
  it('finds a value or a feature, be it 0', () => {
    expect(hasNumbers(event(0, []))).to.equal(true)
    expect(hasNumbers(event(Number.NaN, [Number.NaN, 0]))).to.equal(true)
    expect(hasNumbers(event(Number.NaN, [Number.NaN]))).to.equal(false)
    expect(hasNumbers(event(Number.NaN, []))).to.equal(false)
  })
})

describe('nothingToJudge()', () => {
  it('names the fields that the pipeline looks in', () => {
    expect(nothingToJudge(mapping)).to.equal(
      'no event has a number to judge: the pipeline looks in value: value and features: features (spec.event)',
    )
    expect(nothingToJudge({ ...mapping, value: '', featureFields: ['x*', 'y'] })).to.equal(
      'no event has a number to judge: the pipeline looks in featureFields: x*, y (spec.event)',
    )
    expect(nothingToJudge({ ...mapping, value: '', features: '' })).to.equal(
      'no event has a number to judge: the pipeline names no field for one (spec.event)',
    )
  })
})

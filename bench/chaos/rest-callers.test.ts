import { expect } from 'chai'
import { type RestOutcomes, restExactnessOf } from './rest-callers.ts'

const record = (offset: number, id: string, value: string) => ({ partition: 0, offset, key: 'k', id, value })
const outcomes = (verdicts: Readonly<Record<string, string>>, givenUp: readonly string[] = []): RestOutcomes => ({
  verdicts: new Map(Object.entries(verdicts)),
  givenUp: new Set(givenUp),
  ...{ unknown: 0, answers: {}, slowestSeconds: 0 },
})

describe('restExactnessOf', () => {
  it('counts what was answered and is not stored, is stored twice or though it was denied, or has another verdict', () => {
    const events = ['rest-1', 'rest-2', 'rest-2', 'rest-3', 'rest-4'].map((id, i) => record(i, id, 'event'))
    const published = ['rest-1', 'rest-2', 'rest-2', 'rest-3', 'rest-4'].map((id, i) => record(i, id, `verdict ${i}`))
    const answered = { 'rest-1': 'verdict 0', 'rest-2': 'another', 'rest-3': 'verdict 3', 'rest-5': 'verdict' }
    expect(restExactnessOf(outcomes(answered, ['rest-4']), [events], published)).to.deep.include({
      ...{ accepted: 4, missing: 1, doubled: 1, stored: 1, differing: 1 },
      examples: ['rest-5', 'rest-2', 'rest-4', 'rest-2'],
    })
  })

  it('knows that of an event that stands twice the one that was answered may have gone with its topic', () => {
    const twice = [record(0, 'rest-1', 'event'), record(1, 'rest-1', 'event')]
    const answered = outcomes({ 'rest-1': 'second' })
    const first = record(0, 'rest-1', 'first')
    expect(restExactnessOf(answered, [twice, []], [first]).differing).to.equal(0)
    expect(restExactnessOf(answered, [twice, []], []).differing).to.equal(0)
    expect(restExactnessOf(answered, [twice, []], [first, record(1, 'rest-1', 'third')]).differing).to.equal(1)
  })
})

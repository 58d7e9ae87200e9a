import { expect } from 'chai'
import { usualRange } from './usual-range.ts'

const points = (...values: readonly (number | null)[]) => values.map((value) => ({ value, alerts: 0 }))

describe('usualRange()', () => {
  it('says what was usual before a point, once there is enough before it', () => {
    const ranges = usualRange(points(10, 11, 9, 10, 12, 8, 10, 11, 500))
    expect(ranges.slice(0, 8)).to.deep.equal(new Array(8).fill(undefined))
    const [low, high] = ranges[8]!
    expect(low).to.be.within(5, 9)
    expect(high).to.be.within(11, 15)
  })

  it('does not let an alert, or a point without a value, widen it', () => {
    const calm = points(...new Array<number>(20).fill(7))
    const spiky = [...calm, { value: 1e9, alerts: 1 }, { value: null, alerts: 0 }, { value: 7, alerts: 0 }]
    expect(usualRange(spiky).at(-1)).to.deep.equal([7, 7])
  })
})

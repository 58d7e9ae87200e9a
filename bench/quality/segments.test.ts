import { expect } from 'chai'
import { foundSegments, segmentsOf } from './segments.ts'

const rows = (length: number, ...ones: number[]) => Array.from({ length }, (_, row) => (ones.includes(row) ? 1 : 0))

describe('segmentsOf()', () => {
  it('merges labelled rows that lie at most ten apart', () => {
    expect(segmentsOf(rows(50, 3, 4, 14, 25))).to.deep.equal([
      { first: 3, last: 14 },
      { first: 25, last: 25 },
    ])
  })
})

describe('foundSegments()', () => {
  it('takes alerts from three rows before to ten after for right, and counts a segment once', () => {
    const segments = [{ first: 20, last: 22 }]
    const alerts = (...ones: number[]) => [Uint8Array.from(rows(60, ...ones))]
    expect(foundSegments([segments], alerts(17, 21, 32))).to.deep.equal({ found: 1, wrong: 0 })
    expect(foundSegments([segments], alerts(16, 33))).to.deep.equal({ found: 0, wrong: 2 })
  })
})

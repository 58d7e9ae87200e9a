import { expect } from 'chai'
import { distances, drawPrototypes } from './prototypes.ts'
import { random } from './random.ts'

const columns = 3
const rows = () => {
  const { next } = random('prototypes')
  // The second column is constant, the third is seldom there.
  return Float64Array.from({ length: 500 * columns }, (_, i) =>
    i % columns === 0 ? 100 * next() : i % columns === 1 ? 7 : next() < 0.9 ? Number.NaN : next(),
  )
}
const farness = (...row: number[]) => {
  const prototypes = drawPrototypes(rows(), 500, columns, random(1))
  const into = new Float64Array(1)
  distances(prototypes, Float64Array.from(row), 1, row.length, into)
  return into[0]!
}

describe('Prototypes', () => {
  it('are far from a row that is unlike all of them, the farther the stranger it is', () => {
    expect(farness(150, 7, Number.NaN)).to.be.greaterThan(farness(50, 7, Number.NaN) + 1)
    expect(farness(300, 7, Number.NaN)).to.be.greaterThan(farness(150, 7, Number.NaN))
    expect(farness(1e300, 7, Number.NaN)).to.be.finite
  })

  it('say nothing of a column that never varied, nor of one that is missing', () => {
    expect(farness(50, 1e9, Number.NaN)).to.equal(farness(50, 7, Number.NaN))
    expect(farness(50)).to.equal(farness(50, 7, Number.NaN))
  })

  it('are the same for the same random numbers', () => {
    expect(drawPrototypes(rows(), 500, columns, random(3))).to.deep.equal(
      drawPrototypes(rows(), 500, columns, random(3)),
    )
  })
})

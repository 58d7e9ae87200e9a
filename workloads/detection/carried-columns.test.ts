import { expect } from 'chai'
import { carriedColumns } from './carried-columns.ts'
import { fitModel } from './model.ts'
import { random } from './random.ts'

/** Rows of the columns a and b, and of c where `carries` says so. */
function sample(count: number, carries: (row: number) => boolean) {
  const { next } = random(1)
  const rows = new Float64Array(3 * count)
  for (let row = 0; row < count; row++) rows.set([next(), carries(row) ? row : Number.NaN, next()], 3 * row)
  return { rows, columns: ['a', 'c', 'b'] }
}

describe('carriedColumns()', () => {
  it('leaves out what hardly any row carries, wherever it stands', () => {
    const { rows, columns } = carriedColumns(sample(1000, (row) => row === 500))
    expect(columns).to.deep.equal(['a', 'b'])
    expect(rows).to.have.length(2000)
    expect(rows.some(Number.isNaN)).to.equal(false)
  })

  it('keeps what a part of the rows carries, and all rows as they are where nothing is rare', () => {
    const whole = sample(1000, (row) => row % 20 === 0)
    expect(carriedColumns(whole)).to.deep.equal(whole)
    expect(carriedColumns({ rows: new Float64Array(0), columns: [] }).columns).to.deep.equal([])
  })

  it('so that one odd event does not change the model', () => {
    const fit = { rowsSeen: 1000, trees: 20, sampleSize: 256, seed: 1 }
    const [one, other] = [500, 2000].map((odd) =>
      fitModel({ ...fit, ...carriedColumns(sample(1000, (row) => row === odd)) }),
    )
    expect(one!.version).to.equal(other!.version)
  })
})

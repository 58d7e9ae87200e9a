import { expect } from 'chai'
import { random } from './random.ts'
import { rankAgreement } from './rank-agreement.ts'

const of = (...numbers: number[]) => Float64Array.from(numbers)

describe('rankAgreement', () => {
  it('looks at the order alone', () => {
    expect(rankAgreement(of(1, 2, 3, 4), of(-9, 0, 1e9, 1e10))).to.equal(1)
    expect(rankAgreement(of(1, 2, 3, 4), of(4, 3, 2, 1))).to.equal(-1)
  })

  it('gives ties their mean rank', () => {
    // Ranks 0, 1.5, 1.5, 3 beside 0, 1, 2, 3: scipy.stats.spearmanr says the same.
    expect(rankAgreement(of(1, 2, 2, 3), of(1, 2, 3, 4))).to.be.closeTo(0.948683298, 1e-9)
  })

  it('is near 0 for numbers that have nothing to do with one another', () => {
    const chance = random('ranks')
    const draw = () => Float64Array.from({ length: 500 }, () => chance.next())
    expect(rankAgreement(draw(), draw())).to.be.within(-0.15, 0.15)
  })

  it('cannot say where one tells nothing apart', () => {
    expect(rankAgreement(of(1, 2, 3), of(7, 7, 7))).to.be.NaN
    expect(rankAgreement(of(), of())).to.be.NaN
  })
})

import { expect } from 'chai'
import { KnownNames } from './known-names.ts'
import { usedAtMostMs } from './state.ts'

const hour = 3_600_000
const day = 24 * hour
const many = (count: number, prefix: string) => Array.from({ length: count }, (_, i) => `${prefix}${i}`)

describe('KnownNames', () => {
  it('takes as many new names in an hour as may come, the first ones aside', () => {
    const known = new KnownNames({ maxFeatures: 1000 })
    expect(known.extend(['first'], 0)).to.have.length(1)
    expect(known.extend(many(400, 'a'), 1)).to.have.length(401)
    expect(known.extend(many(400, 'b'), hour / 2)).to.have.length(501)
    expect(known.extend(['c'], hour + 1)).to.have.length(502)
    expect(known.extend(many(600, 'd'), Number.NaN), 'times that nobody knows are no bound').to.have.length(1000)
  })

  it('forgets a name that is not used for long, and nothing while nobody uses any', () => {
    const known = new KnownNames({ maxFeatures: 1000 })
    known.extend(['a', 'b'], 0)
    known.use(['a', 'b'], 30 * day, 0)
    expect(known.use(['a'], 30 * day, 400 * day), 'a pause').to.deep.equal(['a', 'b'])
    let now = 400 * day
    for (const end = now + 30 * day - usedAtMostMs; now < end; ) {
      now += usedAtMostMs
      known.use(['a'], 30 * day, now)
    }
    expect(known.names).to.deep.equal(['a', 'b'])
    expect(known.use(['a'], 30 * day, now + usedAtMostMs)).to.deep.equal(['a', ''])
    expect(known.extend(['a', '', 'b'], now)).to.deep.equal(['a', '', 'b'])
    expect(known.use(['a'], 30 * day, now + 2 * usedAtMostMs), 'it begins anew').to.deep.equal(['a', '', 'b'])
  })
})

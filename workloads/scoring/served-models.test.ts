import { expect } from 'chai'
import { fitModel } from '../detection/model.ts'
import { random } from '../detection/random.ts'
import { ModelSet } from './model-set.ts'
import { isAmong, ServedModels } from './served-models.ts'

const columns = ['value', 'amount']
const chance = random('served models')
const draw = (count: number) => Float64Array.from({ length: 2 * count }, () => chance.next())
const modelsOf = (seed: number) =>
  new ModelSet([fitModel({ rows: draw(500), columns, rowsSeen: 500, trees: 50, sampleSize: 128, seed })])
const champion = modelsOf(1)
const models = modelsOf(2)
const batch = {
  ...{ columns, rows: draw(2000), count: 2000, explainFrom: 2 },
  keyIds: Uint32Array.from({ length: 2000 }, (_, i) => 1 + (i % 400)),
}

function served(percentOfKeys?: number): ServedModels {
  const both = new ServedModels(() => 3)
  both.use(champion)
  if (percentOfKeys !== undefined) both.setChallenge({ models, percentOfKeys })
  return both
}

describe('ServedModels', () => {
  it('say nothing before there is a champion, whoever challenges', () => {
    const none = new ServedModels(() => 3)
    none.setChallenge({ models, percentOfKeys: 50 })
    expect(none.score(batch)).to.equal(undefined)
    expect(none.figures()).to.equal(undefined)
  })

  it('give each row the scores and reasons of the model that its key belongs to', () => {
    const { surprisals, explanations, challenged } = served(30).score(batch)!
    const [ofChampion, ofChallenger] = [champion.score(batch), models.score(batch)]
    const rows = new Set(challenged!.rows)
    expect(challenged!.version).to.equal(models.version)
    for (let row = 0; row < batch.count; row++) {
      const own = rows.has(row) ? ofChallenger : ofChampion
      expect(rows.has(row)).to.equal(isAmong(batch.keyIds[row]!, 30))
      expect(surprisals[0]![row]).to.equal(own.surprisals[0]![row])
      expect(explanations.get(row)).to.deep.equal(own.explanations.get(row))
    }
    expect(rows.size).to.be.within(400, 800)
  })

  it('leave rows that do not say whose they are to the champion', () => {
    const { keyIds: _, ...anonymous } = batch
    expect(served(99).score(anonymous)!.challenged).to.equal(undefined)
  })

  it('have figures of both, each on its own keys, and of both on the same', () => {
    const both = served(30)
    const rows = both.score(batch)!.challenged!.rows.length
    const figures = both.figures()!
    expect([figures.challenger.version, figures.champion.version]).to.deep.equal([models.version, champion.version])
    expect([figures.challenger.rows, figures.champion.rows]).to.deep.equal([rows, batch.count - rows])
    expect(figures.agreement).to.be.within(0.3, 1)
    for (const { alertRate, quantiles } of [figures.challenger, figures.champion]) {
      expect(alertRate).to.be.within(0, 0.2)
      expect(quantiles!.p50).to.be.below(quantiles!.p95)
      expect(quantiles!.p95).to.be.below(quantiles!.p99)
    }
  })

  it('count on when the champion changes, and begin anew with another challenger or other keys', () => {
    const both = served(30)
    both.score(batch)
    both.use(modelsOf(3))
    both.setChallenge({ models, percentOfKeys: 30 })
    expect(both.figures()!.challenger.rows).to.be.above(0)
    both.setChallenge({ models, percentOfKeys: 31 })
    expect(both.figures()!.challenger.rows).to.equal(0)
    both.setChallenge(undefined)
    expect(both.figures()).to.equal(undefined)
  })
})

describe('isAmong()', () => {
  it('takes about as many keys as asked for, and only more where the share grows', () => {
    const keys = Array.from({ length: 20_000 }, () => chance.int(2 ** 32))
    for (const percent of [1, 10, 50, 99]) {
      const share = keys.filter((key) => isAmong(key, percent)).length / keys.length
      expect(share).to.be.closeTo(percent / 100, 0.02)
      for (const key of keys) if (isAmong(key, percent)) expect(isAmong(key, percent + 1)).to.equal(true)
    }
  })
})

import { expect } from 'chai'
import { hindsightAlerts } from './hindsight-alerts.ts'

const series = [Float64Array.of(1, 9, 8, 2, 7), Float64Array.of(6, 0, 5)]
const rows = (decisions: readonly Uint8Array[]) => decisions.map((alerts) => [...alerts])

describe('hindsightAlerts', () => {
  it('alerts on the highest scores of all series', () => {
    const decisions = hindsightAlerts(series, { budget: 4, refractoryRows: 0 })
    expect(rows(decisions)).to.deep.equal([
      [0, 1, 1, 0, 1],
      [1, 0, 0],
    ])
  })

  it('does not alert the same series again within the refractory rows', () => {
    const decisions = hindsightAlerts(series, { budget: 3, refractoryRows: 1 })
    expect(rows(decisions)).to.deep.equal([
      [0, 1, 0, 0, 1],
      [1, 0, 0],
    ])
  })

  it('stays below the budget rather than split a tie', () => {
    expect(rows(hindsightAlerts([Float64Array.of(3, 3, 2)], { budget: 1, refractoryRows: 0 }))).to.deep.equal([
      [0, 0, 0],
    ])
  })

  it('alerts on nothing for a budget of nothing', () => {
    expect(rows(hindsightAlerts(series, { budget: 0, refractoryRows: 0 }))).to.deep.equal([
      [0, 0, 0, 0, 0],
      [0, 0, 0],
    ])
  })
})

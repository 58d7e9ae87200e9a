import { expect } from 'chai'
import { plotWidth, rowAxis, timeAxis } from './axis.ts'

describe('rowAxis()', () => {
  it('spans the rows with round ticks', () => {
    const axis = rowAxis(5001)
    expect(axis.position(0)).to.equal(0)
    expect(axis.position(5000)).to.equal(plotWidth)
    expect(axis.ticks.map(({ label }) => label).slice(0, 3)).to.deep.equal(['0', '500', '1,000'])
  })

  it('has whole rows only, however few', () => {
    expect(rowAxis(3).ticks.map(({ label }) => label)).to.deep.equal(['0', '1', '2'])
    expect(rowAxis(0).ticks).to.have.lengthOf(2)
  })

  it('never has more ticks than there is room for', () => {
    for (let rows = 1; rows < 1e9; rows = Math.ceil(rows * 1.7))
      expect(rowAxis(rows).ticks.length, `${rows} rows`).to.be.within(2, 13)
  })
})

describe('timeAxis()', () => {
  const labels = (from: string, to: string) =>
    timeAxis(Date.parse(from), Date.parse(to)).ticks.map(({ label }) => label)

  it('ticks at whole hours, and names the day at midnight', () => {
    expect(labels('2024-03-01T20:10Z', '2024-03-02T06:00Z')).to.deep.equal([
      ...['21:00', '22:00', '23:00', '2 Mar', '01:00', '02:00', '03:00', '04:00', '05:00', '06:00'],
    ])
  })

  it('ticks at Mondays over weeks, at firsts of the month over months, at years over years', () => {
    expect(labels('2024-01-01T00:00Z', '2024-02-20T00:00Z').slice(0, 3)).to.deep.equal(['1 Jan', '8 Jan', '15 Jan'])
    expect(labels('2023-11-15T00:00Z', '2024-07-02T00:00Z').slice(0, 3)).to.deep.equal([
      'Dec 2023',
      'Jan 2024',
      'Feb 2024',
    ])
    expect(labels('2014-05-01T00:00Z', '2022-07-02T00:00Z').slice(0, 3)).to.deep.equal(['2015', '2016', '2017'])
  })

  it('ticks at seconds over a minute', () => {
    expect(labels('2024-01-01T10:00:03Z', '2024-01-01T10:00:40Z').slice(0, 2)).to.deep.equal(['10:00:05', '10:00:10'])
  })

  it('never has more ticks than there is room for, and all of them inside', () => {
    const from = Date.UTC(1999, 11, 31, 23, 59, 58)
    for (let span = 2000; span < 3e12; span *= 1.37) {
      const { ticks } = timeAxis(from, from + span)
      expect(ticks.length, `${span} ms`).to.be.within(1, 13)
      for (const { at } of ticks) expect(at).to.be.within(0, plotWidth)
    }
  })
})

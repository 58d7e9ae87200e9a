import { expect } from 'chai'
import { nextRefit } from './refit-schedule.ts'

function schedule(refitEvents: number, count: number): number[] {
  const dues: number[] = []
  while (dues.length < count) dues.push(nextRefit(dues.at(-1) ?? 0, refitEvents))
  return dues
}

describe('nextRefit()', () => {
  it('doubles from 16 rows on, then comes every refitEvents', () => {
    expect(schedule(5000, 12)).to.deep.equal([16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 5000, 10_000, 15_000])
    expect(schedule(100, 6)).to.deep.equal([16, 32, 64, 100, 200, 300])
  })

  it('is above the rows seen, whatever they are', () => {
    for (const refitEvents of [1, 100, 999, 5000, 7777, 1e8])
      for (let rows = 0; rows < 20_000; rows += 7) {
        const due = nextRefit(rows, refitEvents)
        if (due <= rows || due > Math.max(2 * rows, rows + refitEvents, 16))
          expect.fail(`${rows}, ${refitEvents}: ${due}`)
      }
  })
})

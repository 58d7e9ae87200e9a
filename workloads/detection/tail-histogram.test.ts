import { expect } from 'chai'
import { TailHistogram, type TailShape } from './tail-histogram.ts'

const shape: TailShape = { bins: 140, min: -5, width: 0.1, capacity: 16_000, priorShape: 0.3, priorCount: 20 }

/** y of the exponential distribution with this mean, at evenly spaced probabilities in a scattered order. */
function exponential(count: number, mean: number): number[] {
  return Array.from({ length: count }, (_, i) => -mean * Math.log(1 - (((i * 0.6180339887498949) % 1) + 0.5 / count)))
}

function histogramOf(ys: Iterable<number>): TailHistogram {
  const histogram = new TailHistogram(shape)
  for (const y of ys) histogram.add(y)
  return histogram
}

describe('TailHistogram', () => {
  it('finds nothing surprising before 16 points', () => {
    const histogram = histogramOf(exponential(15, 1))
    for (const y of [-100, 0, 1, 100, Number.POSITIVE_INFINITY, Number.NaN]) {
      expect(histogram.excess(y)).to.equal(0)
      expect(histogram.surprisal(y)).to.equal(0)
    }
  })

  it('follows the hand-worked fit of 16 points', () => {
    // 12 points in [0, 0.1), 2 in [1, 1.1), 2 in [2, 2.1): the third from above lies in the middle of [1, 1.1).
    const histogram = histogramOf([...Array(12).fill(0.05), 1.05, 1.05, 2.05, 2.05])
    const upper = 1.05
    const mean = (2 * (2.05 - upper) + 1 * 0.025 + 0.3 * 20) / (3 + 20)
    expect(histogram.excess(1.04)).to.equal(0)
    expect(histogram.excess(3)).to.be.closeTo(-Math.log(0.05) + (3 - upper) / mean, 1e-9)
    expect(histogram.surprisal(3)).to.be.closeTo(-Math.log(3 / 16) + (3 - upper) / mean, 1e-9)
    // Between 0.1 and 1 four of the 16 points are above; the one point of smoothing moves that a little.
    expect(histogram.surprisal(0.5)).to.be.closeTo(-Math.log(4 / 16), 0.1)
    expect(histogram.surprisal(-5)).to.equal(0)
  })

  it('gives the true surprisal of an exponential score, far beyond what it has seen', () => {
    const histogram = histogramOf(exponential(10_000, 0.5))
    for (const truth of [0.1, 0.7, 2, 3, 5, 8, 20]) {
      expect(histogram.surprisal(0.5 * truth)).to.be.closeTo(truth, 0.02 + 0.03 * truth)
      expect(histogram.excess(0.5 * truth)).to.be.closeTo(truth < -Math.log(0.05) ? 0 : truth, 0.02 + 0.03 * truth)
    }
  })

  it('is strictly increasing, over empty bins and the joint as well, and continuous', () => {
    const histogram = histogramOf([...exponential(100, 0.4), ...exponential(10, 0.1).map((y) => y + 4)])
    let former = histogram.surprisal(-5)
    for (let y = -5 + 1e-3; y < 20; y += 1e-3) {
      const surprisal = histogram.surprisal(y)
      expect(surprisal).to.be.greaterThan(former)
      expect(surprisal - former).to.be.lessThan(0.05)
      former = surprisal
    }
    expect(histogram.surprisal(Number.MAX_VALUE)).to.be.finite
  })

  it('shrinks the tail of little history to the prior, and never below half a bin', () => {
    const few = histogramOf(Array(160).fill(1.05))
    expect(few.excess(11.1) - few.excess(10.1)).to.be.closeTo(1 / ((8 * 0.0025 + 6) / 28), 1e-6)
    const many = histogramOf(Array(16_000).fill(1.05))
    expect(many.excess(11.1) - many.excess(10.1)).to.be.closeTo(1 / 0.05, 1e-6)
  })

  it('leaves NaN out and counts what lies outside its bins in the outermost', () => {
    const histogram = histogramOf([Number.NaN, Number.NEGATIVE_INFINITY, -7, 50, Number.POSITIVE_INFINITY])
    expect(histogram.total).to.equal(4)
  })

  it('lets the past fade: all counts are halved when their total passes the capacity', () => {
    const histogram = histogramOf(Array(16_000).fill(3.05))
    expect(histogram.total).to.equal(16_000)
    histogram.add(0.05)
    expect(histogram.total).to.equal(8_000)
    for (let i = 0; i < 160_000; i++) histogram.add(0.05)
    expect(histogram.surprisal(3.05)).to.be.greaterThan(-Math.log(0.05))
    expect(histogram.total).to.be.at.most(16_000)
  })

  it('goes on after save and load as if nothing had happened', () => {
    const ys = exponential(1_000, 0.5)
    const histogram = histogramOf(ys.slice(0, 777))
    const saved = new DataView(new ArrayBuffer(histogram.bytes + 3))
    histogram.save(saved, 3)
    const loaded = new TailHistogram(shape)
    loaded.load(saved, 3)
    for (const y of ys.slice(777)) {
      expect(loaded.surprisal(y)).to.equal(histogram.surprisal(y))
      expect(loaded.excess(y)).to.equal(histogram.excess(y))
      loaded.add(y)
      histogram.add(y)
    }
  })

  it('refuses to load fewer bytes than it has, though others lie behind them', () => {
    const histogram = histogramOf([1, 2, 3])
    const memory = new ArrayBuffer(2 * histogram.bytes)
    const cut = new DataView(memory, 0, histogram.bytes - 1)
    expect(() => histogram.load(cut, 0)).to.throw(RangeError)
    expect(() => histogram.save(cut, 0)).to.throw(RangeError)
  })
})

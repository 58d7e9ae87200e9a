import { expect } from 'chai'
import { random } from './random.ts'
import { Reservoir } from './reservoir.ts'

/** Rows of one column that count from `from` on. */
function counting(from: number, count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => from + i)
}

function mean(numbers: Float64Array): number {
  return numbers.reduce((sum, x) => sum + x, 0) / numbers.length
}

describe('Reservoir', () => {
  it('keeps every row until it is full', () => {
    const reservoir = new Reservoir({ seed: 1, capacity: 5 })
    reservoir.add(Float64Array.of(1, 2, 3, 4, 5, 6), 3, 2)
    expect(reservoir.rows()).to.deep.equal(Float64Array.of(1, 2, 3, 4, 5, 6))
    expect([reservoir.size, reservoir.rowsSeen, reservoir.columns]).to.deep.equal([3, 3, 2])
  })

  it('keeps each row seen with the same probability', () => {
    const counts = new Float64Array(50)
    for (let seed = 0; seed < 4000; seed++) {
      const reservoir = new Reservoir({ seed, capacity: 10 })
      reservoir.add(counting(0, 50), 50, 1)
      for (const row of reservoir.rows()) counts[row]!++
    }
    // 800 are expected of each; chi-square with 49 degrees of freedom: 85.4 is its 99.9 % point
    expect(counts.reduce((sum, n) => sum + (n - 800) ** 2 / 800, 0)).to.be.lessThan(85.4)
  })

  it('depends on its seed, and not on where the stream is cut', () => {
    const fill = (seed: number, cut: number) => {
      const reservoir = new Reservoir({ seed, capacity: 16 })
      for (let from = 0; from < 1000; from += cut) reservoir.add(counting(from, cut), Math.min(cut, 1000 - from), 1)
      return reservoir.rows()
    }
    expect(fill(1, 7)).to.deep.equal(fill(1, 1000))
    expect(fill(2, 7)).to.not.deep.equal(fill(1, 7))
  })

  it('widens with its rows; what a row did not have is NaN', () => {
    const reservoir = new Reservoir({ seed: 1, capacity: 4 })
    reservoir.add(Float64Array.of(1), 1, 1)
    reservoir.add(Float64Array.of(2, 3, 4), 1, 3)
    reservoir.add(Float64Array.of(5, 6), 1, 2)
    expect(reservoir.rows()).to.deep.equal(Float64Array.of(1, NaN, NaN, 2, 3, 4, 5, 6, NaN))
  })

  it('leaves nothing of a wide row in the place of which a narrow one came', () => {
    const reservoir = new Reservoir({ seed: 1, capacity: 1 })
    reservoir.add(Float64Array.of(1, 2), 1, 2)
    for (let row = 0; row < 20; row++) reservoir.add(Float64Array.of(7), 1, 1)
    expect(reservoir.rows()).to.deep.equal(Float64Array.of(7, NaN))
  })

  it('goes on after save and load as if nothing had happened', () => {
    const reservoir = new Reservoir({ seed: 'a', capacity: 8 })
    reservoir.add(counting(0, 100), 50, 2)
    const loaded = Reservoir.load(reservoir.save())
    for (const each of [reservoir, loaded]) each.add(counting(1000, 300), 100, 3)
    expect(loaded.rows()).to.deep.equal(reservoir.rows())
    expect(loaded.save()).to.deep.equal(reservoir.save())
    expect(loaded.rowsSeen).to.equal(150)
  })

  it('refuses to load what is damaged', () => {
    const bytes = new Reservoir({ seed: 1 }).save()
    bytes[30]! ^= 1
    expect(() => Reservoir.load(bytes)).to.throw('Cannot read RSVR: its checksum does not match: it is damaged')
  })
})

describe('Reservoir of rows that say whose they are', () => {
  const hour = 3_600_000
  /** Rows of a column that says whose they are, key by key in turn. */
  function send(to: Reservoir, count: number, { caller = 1, keys = [1], now = 0, value = 0 }) {
    const matrix = new Float64Array(count).fill(value)
    to.add(matrix, count, 1, {
      caller,
      keys: Uint32Array.from({ length: count }, (_, i) => keys[i % keys.length]!),
      now,
    })
  }
  const many = Array.from({ length: 500 }, (_, i) => 1000 + i)
  const honestOf = (reservoir: Reservoir) => 1 - mean(reservoir.rows())

  it('keeps the rows of others, however many rows one key has', () => {
    for (const flood of [1000, 50_000, 690_000]) {
      const reservoir = new Reservoir({ seed: flood })
      send(reservoir, 10_000, { keys: many })
      for (let sent = 0; sent < flood; sent += 1000) {
        send(reservoir, 1000, { keys: [7], value: 1 })
        send(reservoir, 1, { keys: [1000] })
      }
      expect(honestOf(reservoir)).to.be.at.least(0.75)
    }
  })

  it('keeps the rows of others, however many rows and keys one caller has', () => {
    const reservoir = new Reservoir({ seed: 1 })
    send(reservoir, 10_000, { keys: many })
    send(reservoir, 690_000, { caller: 2, keys: many.map((key) => 2 * key), value: 1 })
    expect(honestOf(reservoir)).to.be.at.least(0.5)
  })

  it('keeps them also through a save, a load and a merge', () => {
    const honest = new Reservoir({ seed: 1 })
    send(honest, 10_000, { keys: many })
    const flooded = new Reservoir({ seed: 2 })
    send(flooded, 690_000, { caller: 2, keys: many.map((key) => 2 * key), value: 1 })
    const loaded = Reservoir.load(flooded.save(), flooded.sources())
    expect(loaded.sources()).to.deep.equal(flooded.sources())
    const merged = Reservoir.merge(honest, loaded, 3)
    expect(merged.size).to.equal(merged.capacity)
    expect(honestOf(merged)).to.be.at.least(0.5)
  })

  it('learns the only one who sends as ever: a key that took the place of another, a caller after a roll-out', () => {
    const reservoir = new Reservoir({ seed: 1, capacity: 400 })
    send(reservoir, 10_000, { caller: 1, keys: [1] })
    send(reservoir, 5000, { caller: 2, keys: [2], value: 1, now: 0.5 * hour })
    expect(honestOf(reservoir)).to.be.at.least(0.5)
    send(reservoir, 985_000, { caller: 2, keys: [2], value: 1, now: 2 * hour })
    expect(honestOf(reservoir)).to.be.below(0.05)
  })

  it('samples as without sources where none has more than its share', () => {
    const [told, untold] = [new Reservoir({ seed: 1, capacity: 100 }), new Reservoir({ seed: 1, capacity: 100 })]
    const matrix = counting(0, 5000)
    told.add(matrix, 5000, 1, { caller: 0, keys: Uint32Array.from(matrix, (i) => 1 + (i % 50)), now: 0 })
    untold.add(matrix, 5000, 1)
    expect(told.rows()).to.deep.equal(untold.rows())
  })
})

describe('Reservoir.merge()', () => {
  it('weighs the two by the rows that they saw', () => {
    const one = new Reservoir({ seed: 1, capacity: 1000 })
    const other = new Reservoir({ seed: 2, capacity: 1000 })
    one.add(new Float64Array(30_000).fill(0), 30_000, 1)
    other.add(new Float64Array(10_000).fill(1), 10_000, 1)
    const merged = Reservoir.merge(one, other, 3)
    expect([merged.size, merged.rowsSeen]).to.deep.equal([1000, 40_000])
    // A quarter, give or take four standard deviations of a thousand draws.
    expect(mean(merged.rows())).to.be.within(0.195, 0.305)
  })

  it('takes rows of each without replacement, uniformly', () => {
    const counts = new Float64Array(30)
    for (let seed = 0; seed < 4000; seed++) {
      const [one, other] = [20, 10].map((rows, i) => {
        const reservoir = new Reservoir({ seed: `${seed} ${i}`, capacity: 6 })
        reservoir.add(counting(20 * i, rows), rows, 1)
        return reservoir
      })
      const rows = Reservoir.merge(one!, other!, seed).rows()
      expect(new Set(rows)).to.have.lengthOf(6)
      for (const row of rows) counts[row]!++
    }
    // 800 are expected of each; chi-square with 29 degrees of freedom: 58.3 is its 99.9 % point
    expect(counts.reduce((sum, n) => sum + (n - 800) ** 2 / 800, 0)).to.be.lessThan(58.3)
  })

  it('keeps everything that fits, in the columns of the wider', () => {
    const one = new Reservoir({ seed: 1, capacity: 10 })
    const other = new Reservoir({ seed: 2, capacity: 10 })
    one.add(Float64Array.of(1, 2), 2, 1)
    other.add(Float64Array.of(3, 4), 1, 2)
    const merged = Reservoir.merge(one, other, 3)
    const rows = Array.from({ length: 3 }, (_, row) => [...merged.rows().subarray(2 * row, 2 * row + 2)])
    expect(rows.sort((a, b) => a[0]! - b[0]!)).to.deep.equal([
      [1, NaN],
      [2, NaN],
      [3, 4],
    ])
  })

  it('goes on sampling as a reservoir that saw it all', () => {
    const later = new Float64Array(2000)
    const chance = random(5)
    for (let i = 0; i < later.length; i++) {
      const one = new Reservoir({ seed: chance.int(2 ** 40), capacity: 4 })
      one.add(Float64Array.of(0, 0, 0, 0, 0, 0), 6, 1)
      const merged = Reservoir.merge(one, new Reservoir({ seed: 0, capacity: 4 }), chance.int(2 ** 40))
      merged.add(Float64Array.of(1, 1), 2, 1)
      later[i] = mean(merged.rows())
    }
    // Two of eight rows; a standard deviation of a mean is 0.19.
    expect(mean(later)).to.be.within(0.23, 0.27)
  })
})

import { expect } from 'chai'
import { oldestOf } from './oldest-of.ts'

describe('oldestOf()', () => {
  it('agrees with a new iterator over a long history of keys that come, go and come again', () => {
    const entries = new Map<number, string>()
    const oldest = oldestOf(entries)
    for (let step = 0; step < 20_000; step++) {
      const key = (step * 7919) % 1000
      if (step % 5 === 0) entries.delete(key)
      if (step % 3 !== 0) entries.set((step * 104_729) % 1500, 'x')
      if (step % 5000 === 4999) entries.clear()
      if (entries.size <= 300) continue
      const [expected] = entries.keys()
      expect(oldest()).to.equal(expected)
      entries.delete(expected!)
    }
  })

  it('is nothing where there is none, and the next that comes', () => {
    const entries = new Set<string>()
    const oldest = oldestOf(entries)
    expect(oldest()).to.equal(undefined)
    entries.add('a')
    expect(oldest()).to.equal('a')
    entries.delete('a')
    expect(oldest()).to.equal(undefined)
    entries.add('b')
    expect(oldest()).to.equal('b')
  })
})

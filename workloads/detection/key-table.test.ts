import { expect } from 'chai'
import { KeyTable } from './key-table.ts'

describe('KeyTable', () => {
  it('finds what was inserted and nothing else', () => {
    const table = new KeyTable(10)
    const slot = table.insert('a')
    expect(table.find('a')).to.equal(slot)
    expect(table.find('b')).to.equal(-1)
    expect(table.keyAt(slot)).to.equal('a')
  })

  it('gives the slot of the key unused for longest to a new key when full', () => {
    const table = new KeyTable(3)
    const a = table.insert('a')
    const b = table.insert('b')
    table.insert('c')
    table.find('a')
    expect(table.nextEvicted).to.equal('b')
    expect(table.insert('d')).to.equal(b)
    expect(table.find('b')).to.equal(-1)
    expect(table.find('a')).to.equal(a)
    expect([...table.keys()]).to.deep.equal(['a', 'd', 'c'])
  })

  it('agrees with a Map over a long random history of inserts, look-ups and deletes', () => {
    const table = new KeyTable(500)
    const order: string[] = []
    let seed = 7
    const next = (n: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
      return (seed >>> 8) % n
    }
    for (let step = 0; step < 50_000; step++) {
      const key = `user-${next(1500)}`
      const known = order.indexOf(key)
      const slot = table.find(key)
      expect(slot >= 0).to.equal(known >= 0)
      if (next(20) === 0) {
        table.delete(key)
        if (known >= 0) order.splice(known, 1)
        continue
      }
      if (known >= 0) order.splice(known, 1)
      else {
        table.insert(key)
        if (order.length === 500) order.pop()
      }
      order.unshift(key)
    }
    expect([...table.keys()]).to.deep.equal(order)
    expect(table.size).to.equal(order.length)
  })
})

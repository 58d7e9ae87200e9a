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

  it('gives up slots: keys move to lower ones and keep their order of use', () => {
    const table = new KeyTable(10_000)
    const memory = new Map<number, string>()
    for (let i = 0; i < 5000; i++) memory.set(table.insert(`user-${i}`), `user-${i}`)
    for (let i = 0; i < 5000; i++) if (i % 7 !== 0) table.delete(`user-${i}`)
    const kept = [...table.keys()]
    table.compact((from, to) => memory.set(to, memory.get(from)!))
    expect(table.slots).to.equal(715)
    expect([...table.keys()]).to.deep.equal(kept)
    for (const key of kept) expect(memory.get(table.peek(key))).to.equal(key)
    expect(Math.max(...kept.map((key) => table.peek(key)))).to.equal(714)
    expect(table.insert('new')).to.equal(715)
    expect(table.nextEvicted).to.equal(undefined)
  })

  it('can be compacted when it is empty', () => {
    const table = new KeyTable(10)
    table.insert('a')
    table.delete('a')
    table.compact(() => expect.fail('nothing is to be moved'))
    expect(table.find('a')).to.equal(-1)
    expect(table.insert('b')).to.equal(0)
    expect([...table.keys()]).to.deep.equal(['b'])
  })

  it('agrees with a Map over a long random history of inserts, look-ups, deletes and compactions', () => {
    const table = new KeyTable(500)
    const keyOf = new Map<number, string>()
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
      if (slot >= 0) expect(keyOf.get(slot)).to.equal(key)
      if (next(500) === 0) table.compact((from, to) => keyOf.set(to, keyOf.get(from)!))
      if (next(20) === 0) {
        table.delete(key)
        if (known >= 0) order.splice(known, 1)
        continue
      }
      if (known >= 0) order.splice(known, 1)
      else {
        keyOf.set(table.insert(key), key)
        if (order.length === 500) order.pop()
      }
      order.unshift(key)
    }
    expect([...table.keys()]).to.deep.equal(order)
    expect(table.size).to.equal(order.length)
  })
})

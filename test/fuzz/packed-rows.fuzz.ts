import { expect } from 'chai'
import { ColumnLayout } from '../../workloads/scoring/column-layout.ts'
import { packNumbers, schemaIdOf, unpackNumbers } from '../../workloads/scoring/packed-rows.ts'
import type { Chance, Fuzz } from './fuzz.ts'

const names = Array.from({ length: 12 }, (_, i) => `x${i}`)

function columnsOf(chance: Chance): readonly string[] {
  const columns = names.slice(0, chance.int(names.length + 1))
  return chance.happens(0.5) ? columns : columns.filter(() => chance.happens(0.7)).sort(() => chance.next() - 0.5)
}

function number(chance: Chance): number {
  return chance.pick(Number.NaN, 0, -0, Infinity, -Infinity, Number.MIN_VALUE, Number.MAX_VALUE, chance.next() - 0.5)
}

/** Rows come out of bytes as they went in, each number under its own column; bytes of half a number are refused. */
export const fuzz: Fuzz = {
  name: 'packed-rows',
  tryOne(chance) {
    const [columns, target] = [columnsOf(chance), columnsOf(chance)]
    const count = chance.int(6)
    const plain = Array.from({ length: count }, () => columns.map(() => number(chance)))
    const packed = packNumbers(Float64Array.from(plain.flat()))
    const before = chance.int(9)
    const message = Buffer.concat([Buffer.alloc(before, 7), packed, Buffer.alloc(chance.int(9), 7)])
    const rows = unpackNumbers(message.subarray(before, before + packed.length))
    expect(Array.from(rows), columns.join()).to.deep.equal(plain.flat())

    const laid = new ColumnLayout(target).lay({ columns, rows, count })
    for (const [r, row] of plain.entries())
      for (const [c, column] of target.entries()) {
        const from = columns.indexOf(column)
        const found = c < laid.width ? laid.rows[r * laid.width + c] : Number.NaN
        expect(found, `${column} of ${columns} for ${target}`).to.deep.equal(from < 0 ? Number.NaN : row[from])
      }
    expect(schemaIdOf(columns) === schemaIdOf([...target])).to.equal(columns.join() === target.join())

    const damaged = chance.damaged(packed)
    const read = () => unpackNumbers(damaged)
    if (damaged.length % 8 === 0) expect(read().length).to.equal(damaged.length / 8)
    else expect(read).to.throw(RangeError, `${damaged.length} bytes`)
  },
}

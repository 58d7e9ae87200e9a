import { expect } from 'chai'
import { type DecimalMark, isAbsentCell, numberOfCell } from './cell-number.ts'

describe('numberOfCell()', () => {
  const cells: readonly (readonly [cell: string, mark: DecimalMark, number: number | undefined])[] = [
    ['12', 'Point', 12],
    [' -1.5e3 ', 'Point', -1500],
    ['+.5', 'Point', 0.5],
    ['3.', 'Point', 3],
    ['1,234.5', 'Point', 1234.5],
    ['1,5', 'Point', 1.5],
    ['0,125', 'Point', 0.125],
    ['1,234,567', 'Point', undefined],
    ['1,234', 'Point', undefined],
    ['1,5', 'Comma', 1.5],
    ['-,5', 'Comma', -0.5],
    ['1.234,5', 'Comma', 1234.5],
    ['1.5', 'Comma', 1.5],
    ['1,234.5', 'Comma', undefined],
    ['0x10', 'Point', undefined],
    ['1e999', 'Point', undefined],
    ['12 kg', 'Point', undefined],
    ['', 'Point', Number.NaN],
  ]
  for (const [cell, mark, number] of cells)
    it(`reads ${JSON.stringify(cell)} with a decimal ${mark.toLowerCase()} as ${number}`, () => {
      expect(numberOfCell(cell, mark)).to.deep.equal(number)
    })

  it('takes what tools write for no number as absent', () => {
    const absent = ['', ' ', 'NaN', 'nan', '-nan', 'NA', 'N/A', '#N/A', '<NA>', 'null', 'NULL', 'None', '\\N', '-', '?']
    for (const cell of [...absent, 'inf', '-Inf', 'Infinity', '+infinity', '1.#INF', '-1.#IND', '1.#QNAN']) {
      expect(isAbsentCell(cell), cell).to.equal(true)
      expect(numberOfCell(cell, 'Point'), cell).to.be.NaN
    }
    for (const cell of ['nano', 'nullable', '0', 'x', '--']) expect(isAbsentCell(cell), cell).to.equal(false)
  })
})

import { expect } from 'chai'
import { csvFields, unfinished } from './csv-fields.ts'

describe('csvFields()', () => {
  const readable: readonly (readonly [row: string, fields: readonly string[]])[] = [
    ['a,b,c', ['a', 'b', 'c']],
    ['', ['']],
    [',', ['', '']],
    ['a,,', ['a', '', '']],
    ['"a",b', ['a', 'b']],
    ['a,"b"', ['a', 'b']],
    ['"a,b",c', ['a,b', 'c']],
    ['"say ""hello""",c', ['say "hello"', 'c']],
    ['"""",""', ['"', '']],
    ['"two\nlines",c', ['two\nlines', 'c']],
    [' a , b ', ['a', 'b']],
    ['a, "b, c" ,d', ['a', 'b, c', 'd']],
    ['" a ",b', [' a ', 'b']],
  ]
  for (const [row, fields] of readable)
    it(`reads ${JSON.stringify(row)}`, () => {
      expect(csvFields(row)).to.deep.equal(fields)
    })

  for (const row of ['"a', 'a,"b', '"a,b\nc', '"a""', 'a,"b"",c'])
    it(`wants more of ${JSON.stringify(row)}`, () => {
      expect(csvFields(row)).to.equal(unfinished)
    })

  for (const [row, message] of [
    ['"a"b,c', 'text follows the quotes of field 1'],
    ['a,"b" x,c', 'text follows the quotes of field 2'],
    ['a"b,c', 'a quote within field 1, which does not begin with one'],
  ] as const)
    it(`refuses ${JSON.stringify(row)}`, () => {
      expect(csvFields(row)).to.be.instanceOf(Error).with.property('message', message)
    })

  it('parts by tabs where they are the delimiter', () => {
    expect(csvFields('a,b\t"c\td"', '\t')).to.deep.equal(['a,b', 'c\td'])
  })

  it('reads back what was written, whatever it was', () => {
    const pieces = ['', ',', '"', '\n', 'a', '""', ' ', '1.5']
    for (let i = 0; i < pieces.length ** 3; i++) {
      const fields = [i, i / 8, i / 64].map((n) => pieces[Math.floor(n) % 8]! + pieces[(Math.floor(n) * 3) % 8]!)
      const row = fields.map((field) => `"${field.replaceAll('"', '""')}"`).join(',')
      expect(csvFields(row), row).to.deep.equal(fields)
    }
  })
})

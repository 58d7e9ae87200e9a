import { expect } from 'chai'
import { random } from '../detection/random.ts'
import { elementsOf, parseBody, writtenNumber } from './json-body.ts'

describe('parseBody()', () => {
  it('reads JSON from bytes and text, with or without a byte order mark', () => {
    for (const body of ['{"a":"zoë"}', '\ufeff{"a":"zoë"}'])
      for (const form of [body, Buffer.from(body)])
        expect(parseBody(form)).to.deep.equal({ value: { a: 'zoë' }, json: '{"a":"zoë"}' })
  })

  it('says what is wrong, shortly', () => {
    expect(parseBody(null)).to.include({ reason: 'Tombstone' })
    expect(parseBody('{"a":NaN}')).to.include({ reason: 'MalformedJson' })
    expect(parseBody(Buffer.from('7b22c3', 'hex'))).to.deep.equal({
      reason: 'NotUtf8',
      message: 'the event is not UTF-8: byte 2 is 0xc3; convert it, with iconv for example',
    })
    const framed = Buffer.concat([Buffer.from([0, 0, 0, 1, 2]), Buffer.from('{"a":1}')])
    expect(parseBody(framed)).to.have.property('message').that.includes('schema id 258').and.includes('schemaRegistry')
    for (const monster of ['x'.repeat(1e6), '['.repeat(1e6), `"${'\\ud800'.repeat(1e5)}`]) {
      const parsed = parseBody(monster)
      expect('reason' in parsed && parsed.message.length).to.be.within(1, 200)
    }
  })
})

const chance = random('bodies')
const digits = (count: number) => Array.from({ length: count }, () => chance.int(10)).join('')
const texts = ['"', '\\', 'a', '1234567890123456', '{', ']', ',']
const text = () => Array.from({ length: chance.int(8) }, () => texts[chance.int(7)]).join('')
function value(depth: number): unknown {
  const kind = chance.int(depth > 0 ? 6 : 4)
  if (kind === 0) return text()
  if (kind === 1) return chance.next() * 10 ** chance.int(30)
  if (kind === 2) return chance.int(1e6)
  if (kind === 3) return [true, false, null][chance.int(3)]
  if (kind === 4) return Array.from({ length: chance.int(4) }, () => value(depth - 1))
  return Object.fromEntries(Array.from({ length: chance.int(4) }, () => [text(), value(depth - 1)]))
}

describe('writtenNumber()', () => {
  const read = (body: unknown) => (body as { id: unknown }).id

  it('is what is written, among whatever else, numbers that are rounded alike too', () => {
    for (let i = 0; i < 5000; i++) {
      const long = `${chance.int(2) === 0 ? '-' : ''}${1 + chance.int(9)}${digits(16 + chance.int(20))}`
      const near = `${long.slice(0, -1)}${chance.int(10)}`
      const rest = [value(3), near, { id: near }].map((other) => JSON.stringify(other, null, chance.int(3)))
      const json = `{"a":${rest[0]},"tiny":1e-1234567890123456,"id":1,"near":[${near}, "${near}"],"id":${long},"b":${rest.join(',"c":')}}`
      for (const body of [json, Buffer.from(json), `\ufeff${json}`])
        for (const name of [undefined, 'id']) expect(writtenNumber(Number(long), body, read, name), json).to.equal(long)
      const nested = `{"parent":{"id" : ${near}},"x":${rest[0]},"i\\u0064":${long}}`
      expect(writtenNumber(Number(long), nested, read, 'id'), nested).to.equal(long)
      const named = `{"x\\"id":${near},"id" :\n${long},"b":${rest[0]}}`
      expect(writtenNumber(Number(long), named, read, 'id'), named).to.equal(long)
    }
  })

  it('takes what is nested as deep as it may be', () => {
    const deep = `{"a":${'['.repeat(100_000)}1234567890123456789${']'.repeat(100_000)},"id":1234567890123456788}`
    expect(writtenNumber(1234567890123456800, deep, read)).to.equal('1234567890123456788')
  })
})

describe('elementsOf()', () => {
  it('finds the elements of an array in its text', () => {
    for (let i = 0; i < 2000; i++) {
      const list = Array.from({ length: chance.int(5) }, () => value(3))
      const elements = elementsOf(JSON.stringify(list, null, chance.int(3)))
      expect(elements.map((element) => JSON.parse(element))).to.deep.equal(JSON.parse(JSON.stringify(list)))
    }
    const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`
    expect(elementsOf(`[${deep}, {"a":1}]`)).to.deep.equal([deep, '{"a":1}'])
  })
})

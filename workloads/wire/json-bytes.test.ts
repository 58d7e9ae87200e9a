import { expect } from 'chai'
import { random } from '../detection/random.ts'
import { ascii, JsonBytes } from './json-bytes.ts'

describe('JsonBytes', () => {
  const json = new JsonBytes()
  const written = (write: () => void): string => {
    json.clear()
    write()
    return json.toString()
  }
  const chance = random('json')
  const numbers = Array.from({ length: 5000 }, () => (chance.next() - 0.5) * 10 ** (chance.int(16) - 8))

  it('writes shares as String() does once they are rounded to six decimals', () => {
    for (const x of [0, -0, 1, 1e-7, 0.999_999_9, 0.1, 0.12, 123.456_789_1, Number.NaN, ...numbers])
      expect(written(() => json.sixDecimals(x))).to.equal(String(Math.round(x * 1e6) / 1e6))
  })

  it('writes numbers with five decimals, or six significant digits where those are fewer or more', () => {
    for (const x of [0, -0, 1, 99_999.999_999, 999_999.999_999, 0.1, -12.5, 1e5, ...numbers]) {
      const size = Math.abs(x)
      const rounded = size >= 1e6 || size < 0.1 ? Number(x.toPrecision(6)) : Math.round(x * 1e5) / 1e5
      expect(Number(written(() => json.number(x)))).to.equal(rounded + 0)
    }
    for (const x of [null, Number.NaN, Number.NEGATIVE_INFINITY]) expect(written(() => json.number(x))).to.equal('null')
  })

  it('writes times as String() does', () => {
    for (const x of [null, 0, 1e12, 1_640_000_000_123, 9_999_999_999_999, 1e13, 1.64e12 + 0.5, -5, 1e21])
      expect(written(() => json.time(x))).to.equal(String(x))
  })

  it('writes text as JSON.stringify() does, in whatever alphabet, and grows as it has to', () => {
    for (const text of ['', 'a', '"', '\\', '\n', '\u007f', 'ü', '\ud800', '😀', 'x'.repeat(9000), 'ж'.repeat(9000)])
      expect(written(() => json.text(text))).to.equal(JSON.stringify(text))
    const mixed = written(() => {
      json.raw(ascii('{"'))
      json.plain('größe')
      json.raw(ascii('":'))
      json.text('"é"')
      json.raw(ascii('}'))
    })
    expect(mixed).to.equal('{"größe":"\\"é\\""}')
    expect(written(() => json.plain('plain again'))).to.equal('plain again')
  })

  it('leaves what was taken as it is, however much is written after it', () => {
    const texts = Array.from({ length: 3000 }, (_, i) => `${i} `.repeat(1 + (i % 40)) + (i % 7 === 0 ? 'ü' : ''))
    const taken = texts.map((text) => {
      json.clear()
      json.plain('forgotten')
      json.clear()
      json.text(text)
      return json.take()
    })
    expect(written(() => json.text('x'.repeat(200_000)))).to.have.length(200_002)
    expect(taken.map(String)).to.deep.equal(texts.map((text) => JSON.stringify(text)))
  })
})

import { expect } from 'chai'
import { random } from '../detection/random.ts'
import { fingerprintOf } from './fingerprint.ts'

const chance = random('fingerprints')
const of = (text: string) => fingerprintOf({ text, value: JSON.parse(text) })

/** A value as two callers may write it: with other spaces, another order, other escapes. */
function spelt(depth: number): [one: string, other: string] {
  const kind = chance.int(depth > 0 ? 7 : 5)
  if (kind === 0) return ['12345678901234567890', '12345678901234567890']
  if (kind === 1) return ['1.50', '15e-1']
  if (kind === 2) return ['"zo\u00eb"', '"zoë"']
  if (kind === 3) return ['null', ' null']
  if (kind === 4) return ['"1234567890123456 \\" {"', '"1234567890123456 \\u0022 {"']
  const parts = Array.from({ length: chance.int(5) }, () => spelt(depth - 1))
  if (kind === 5) return [`[${parts.map(([one]) => one)}]`, `[\n${parts.map(([, other]) => other).join(' , ')}]`]
  const [one, other] = [0, 1].map((side) => parts.map((part, i) => `"f${i}":${part[side]}`))
  return [`{${one}}`, `{ ${other!.reverse().join(',\t')} }`]
}

describe('fingerprintOf()', () => {
  it('is the same for bodies that mean the same, however they are written', () => {
    for (let i = 0; i < 3000; i++) {
      const [one, other] = spelt(4)
      expect(of(one), `${one} and ${other}`).to.equal(of(other))
    }
  })

  it('is another where any value, name, digit or order of a list is another', () => {
    const bodies = [
      '{"a":1}',
      '{"a":2}',
      '{"b":1}',
      '{"a":"x"}',
      '{"a":[1,2]}',
      '{"a":[2,1]}',
      '{"a":{"a":1}}',
      '{"a":null}',
      '{}',
    ]
    const exact = ['{"id":9007199254740992}', '{"id":9007199254740993}', '{"id":90071992547409930}']
    expect(new Set([...bodies, ...exact].map(of)).size).to.equal(bodies.length + exact.length)
  })

  it('takes what is nested as deep as it may be', () => {
    const deep = (n: number) => `{"a":${'['.repeat(50_000)}${n}${']'.repeat(50_000)}}`
    expect(of(deep(1))).to.equal(of(deep(1)))
    expect(of(deep(1))).to.not.equal(of(deep(2)))
  })
})

import { expect } from 'chai'
import { isMuted, mutesOf } from './mutes.ts'
import { random } from './random.ts'

const until = '2026-02-01T00:00:00Z'
const end = Date.parse(until)
const mutes = (...keys: string[]) => mutesOf({ mutes: [{ keys, until }] })

describe('Mutes', () => {
  it('hold until their time, by the time of the event', () => {
    expect(isMuted(mutes('a'), 'a', end - 1, 'value')).to.equal(true)
    expect(isMuted(mutes('a'), 'a', end, 'value')).to.equal(false)
    expect(isMuted(mutes('a'), 'a', Number.NaN, 'value')).to.equal(false)
  })

  it('hold for their reasons, and for any without', () => {
    const some = mutesOf({ mutes: [{ keys: ['*'], reasons: ['value', 'interval'], until }] })
    expect(['value', 'interval', 'other', ''].map((reason) => isMuted(some, 'a', 0, reason))).to.deep.equal([
      ...[true, true, false, false],
    ])
    expect(isMuted([], 'a', 0, 'value')).to.equal(false)
  })

  it('take keys as they are, and an asterisk for any text', () => {
    const { int } = random('mutes')
    const textOf = (letters: string) => Array.from({ length: int(7) }, () => letters[int(letters.length)]).join('')
    let matched = 0
    for (let round = 0; round < 20_000; round++) {
      const [pattern, key] = [textOf('ab.*'), textOf('ab.')]
      const expression = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`)
      expect(isMuted(mutes(pattern), key, 0, ''), `${pattern} ${key}`).to.equal(expression.test(key))
      if (expression.test(key)) matched++
    }
    expect(matched).to.be.above(500)
  })
})

import { expect } from 'chai'
import { random } from '../detection/random.ts'
import { recordKeyText } from './record-key.ts'

describe('recordKeyText()', () => {
  it('is text where the key is text', () => {
    for (const key of ['u', 'user-456', 'zoë', 'a\tb', '']) expect(recordKeyText(Buffer.from(key))).to.equal(key)
    expect(recordKeyText(null)).to.equal(undefined)
  })

  it('shows numbers and UUIDs as hex', () => {
    const long = Buffer.alloc(8)
    long.writeBigInt64BE(200n)
    expect(recordKeyText(long)).to.equal('hex:00000000000000c8')
    expect(recordKeyText(Buffer.from('ff'.repeat(16), 'hex'))).to.equal(`hex:${'ff'.repeat(16)}`)
  })

  it('has another text for other bytes, and the same for the same, as a string too', () => {
    const { int } = random('keys')
    const keys = [...Array(256).keys()].map((byte) => Buffer.from([byte]))
    for (let i = 0; i < 20_000; i++) keys.push(Buffer.from(Array.from({ length: int(12) }, () => int(256))))
    for (const key of [...keys]) keys.push(Buffer.from(recordKeyText(key)!))
    const bytesOf = new Map<string, string>()
    for (const key of keys) {
      const text = recordKeyText(key)!
      const bytes = key.toString('hex')
      expect(bytesOf.get(text) ?? bytes, text).to.equal(bytes)
      bytesOf.set(text, bytes)
      if (Buffer.from(key.toString()).equals(key)) expect(recordKeyText(key.toString())).to.equal(text)
    }
  })
})

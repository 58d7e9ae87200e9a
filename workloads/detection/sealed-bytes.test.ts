import { expect } from 'chai'
import { checksum, seal, unseal } from './sealed-bytes.ts'

const payload = Uint8Array.from({ length: 43 }, (_, i) => i * 7)

describe('seal() and unseal()', () => {
  it('give back what went in', () => {
    expect(unseal('TEST', 1, seal('TEST', 1, payload))).to.deep.equal(payload)
    expect(unseal('TEST', 1, seal('TEST', 1, new Uint8Array()))).to.deep.equal(new Uint8Array())
  })

  it('read bytes that lie anywhere in a larger buffer', () => {
    const sealed = seal('TEST', 1, payload)
    const larger = new Uint8Array(sealed.length + 6)
    larger.set(sealed, 3)
    expect(unseal('TEST', 1, larger.subarray(3, 3 + sealed.length))).to.deep.equal(payload)
  })

  it('copy the payload of a Buffer too', () => {
    const sealed = Buffer.from(seal('TEST', 1, Uint8Array.of(1, 2, 3, 4)))
    const payload = unseal('TEST', 1, sealed)
    sealed.fill(0)
    expect(payload).to.deep.equal(Uint8Array.of(1, 2, 3, 4))
    expect(payload.byteOffset).to.equal(0)
  })

  it('refuse bytes of which any one has changed', () => {
    const sealed = seal('TEST', 1, payload)
    for (let i = 0; i < sealed.length; i++) {
      const damaged = sealed.slice()
      damaged[i]! ^= 0x10
      expect(() => unseal('TEST', 1, damaged), `byte ${i}`).to.throw(/^Cannot read TEST: /)
    }
  })

  it('say what is wrong', () => {
    const sealed = seal('TEST', 1, payload)
    const damaged = sealed.slice()
    damaged[50]!++
    expect(() => unseal('TEST', 1, new Uint8Array(5))).to.throw('5 bytes are fewer than its header has')
    expect(() => unseal('TEST', 1, new TextEncoder().encode('{"something": "else"}, really'))).to.throw(
      'the bytes begin with something else',
    )
    expect(() => unseal('ELSE', 1, sealed)).to.throw('Cannot read ELSE: the bytes hold "TEST"')
    expect(() => unseal('TEST', 2, sealed)).to.throw('its format is version 1, this program reads 2')
    expect(() => unseal('TEST', 1, sealed.subarray(0, -1))).to.throw(
      'it should have 43 bytes after the header and has 42',
    )
    expect(() => unseal('TEST', 1, damaged)).to.throw('its checksum does not match: it is damaged')
  })
})

describe('checksum()', () => {
  it('is MurmurHash3', () => {
    const of = (text: string) => checksum(new TextEncoder().encode(text))
    expect(of('')).to.equal(0)
    expect(of('test').toString(16)).to.equal('ba6bd213')
    expect(of('Hello, world!').toString(16)).to.equal('c0363e43')
  })
})

import { expect } from 'chai'
import { stateBytesOf } from './main.ts'

describe('stateBytesOf', () => {
  it('is what was asked for, else half of the limit of the container, else 512 MiB', () => {
    expect(stateBytesOf(48, 2 ** 30)).to.equal(48 * 2 ** 20)
    expect(stateBytesOf(undefined, 2 ** 30)).to.equal(2 ** 29)
    expect(stateBytesOf(undefined, 0)).to.equal(2 ** 29)
    expect(stateBytesOf(undefined, 2 ** 64 - 4096)).to.equal(2 ** 29)
  })
})

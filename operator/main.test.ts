import { expect } from 'chai'
import { namesOf } from './main.ts'

describe('namesOf', () => {
  it('reads a list, each namespace once', () => {
    expect(namesOf('shop, bank,,shop')).to.deep.equal(['shop', 'bank'])
  })

  it('means all where none is named', () => {
    expect([namesOf(), namesOf(''), namesOf(' , ')]).to.deep.equal([undefined, undefined, undefined])
  })
})

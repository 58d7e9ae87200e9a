import { expect } from 'chai'
import { namespacesOf } from './main.ts'

describe('namespacesOf', () => {
  it('reads a list, each namespace once', () => {
    expect(namespacesOf('shop, bank,,shop')).to.deep.equal(['shop', 'bank'])
  })

  it('means all where none is named', () => {
    expect([namespacesOf(), namespacesOf(''), namespacesOf(' , ')]).to.deep.equal([undefined, undefined, undefined])
  })
})

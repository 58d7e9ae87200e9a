import { expect } from 'chai'
import { tokenOwner } from './token-owner.ts'

const tokenOf = (claims: object): string =>
  ['{}', JSON.stringify(claims), 'signature'].map((part) => Buffer.from(part).toString('base64url')).join('.')

describe('tokenOwner', () => {
  const serviceaccount = { name: 'anomaly-operator', uid: 'a-b-c' }
  const token = tokenOf({ sub: 'x', 'kubernetes.io': { namespace: 'anomaly-system', serviceaccount } })

  it('is the ServiceAccount that the token is of', () => {
    const owner = { apiVersion: 'v1', kind: 'ServiceAccount', ...serviceaccount }
    expect(tokenOwner(token, 'anomaly-system')).to.deep.equal(owner)
  })

  it('is none in another namespace, where it would be taken for gone', () => {
    expect(tokenOwner(token, 'default')).to.equal(undefined)
  })

  it('is none for a token of something else, or no token', () => {
    for (const other of [tokenOf({ sub: 'a person' }), 'opaque', ''])
      expect(tokenOwner(other, 'anomaly-system')).to.equal(undefined)
  })
})

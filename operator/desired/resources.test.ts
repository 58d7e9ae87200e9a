import { expect } from 'chai'
import { amountOf, mergedResources } from './resources.ts'

const defaults = { requests: { cpu: '500m', memory: '512Mi' }, limits: { memory: '1Gi' } }

describe('mergedResources', () => {
  it('keeps the defaults of what was not stated', () => {
    expect(mergedResources(undefined, defaults)).to.deep.equal(defaults)
    expect(mergedResources({ requests: { memory: '600Mi' } }, defaults)).to.deep.equal({
      requests: { cpu: '500m', memory: '600Mi' },
      limits: { memory: '1Gi' },
    })
    expect(mergedResources({ limits: { cpu: 2 } }, defaults)).to.deep.equal({
      requests: { cpu: '500m', memory: '512Mi' },
      limits: { cpu: 2, memory: '1Gi' },
    })
  })

  it('lets a default give way to what was stated, so that no request exceeds its limit', () => {
    expect(mergedResources({ requests: { memory: '2Gi' } }, defaults).limits).to.deep.equal({ memory: '2Gi' })
    expect(mergedResources({ limits: { memory: '256Mi', cpu: '100m' } }, defaults)).to.deep.equal({
      requests: { cpu: '100m', memory: '256Mi' },
      limits: { cpu: '100m', memory: '256Mi' },
    })
  })

  it('says no more than it was told where a person contradicts herself: the API server refuses it', () => {
    const stated = { requests: { memory: '2Gi' }, limits: { memory: '1Gi' } }
    expect(mergedResources(stated, defaults).requests).to.include({ memory: '2Gi' })
  })
})

describe('amountOf', () => {
  for (const [quantity, amount] of [
    [4294967296, 2 ** 32],
    ['4294967296', 2 ** 32],
    ['129e6', 129e6],
    ['1Ei', 2 ** 60],
    ['1E', 1e18],
    ['500m', 0.5],
    ['.5', 0.5],
    ['+2Gi', 2 ** 31],
    ['1e-3', 1e-3],
  ] as const)
    it(`is ${amount} for ${JSON.stringify(quantity)}`, () => {
      expect(amountOf(quantity)).to.be.closeTo(amount, amount * 1e-9)
    })
})

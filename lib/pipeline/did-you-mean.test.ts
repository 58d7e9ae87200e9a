import { expect } from 'chai'
import { didYouMean } from './did-you-mean.ts'

describe('didYouMean', () => {
  const fields = ['rules', 'detectors', 'threshold', 'replicas']

  it('finds the word behind a slip: a letter too many, missing, wrong or swapped', () => {
    for (const slip of ['detecttors', 'detctors', 'detecters', 'detcetors'])
      expect(didYouMean(slip, fields), slip).to.equal('detectors')
  })

  it('looks past case', () => {
    expect(didYouMean('Replicas', fields)).to.equal('replicas')
  })

  it('takes the nearest of several', () => {
    expect(didYouMean('rows', ['row', 'rowss', 'rowe'])).to.equal('row')
  })

  it('says nothing rather than something far-fetched', () => {
    expect(didYouMean('image', fields)).to.equal(undefined)
    expect(didYouMean('x', [])).to.equal(undefined)
  })
})

import { expect } from 'chai'
import { testParent } from './desired/test-parent.ts'
import { unseenFields } from './unseen-fields.ts'

describe('unseenFields', () => {
  const rules = [
    { name: 'total', field: 'value', above: '1' },
    { name: 'mean', field: 'mean(features)', above: '1' },
    { name: 'load', field: 'cpuu', above: '1' },
  ]
  const { pipeline } = testParent({ detection: { rules } })

  it('warns of a rule on a feature that no event has, with what was seen', () => {
    expect(unseenFields(pipeline, ['cpu', 'memory'])).to.deep.equal([
      'spec.detection.rules[load].field: no event has a feature "cpuu" (did you mean cpu?)',
    ])
    expect(unseenFields(pipeline, ['temperature'])).to.deep.equal([
      'spec.detection.rules[load].field: no event has a feature "cpuu" (those that occur: temperature)',
    ])
  })

  it('says nothing while too few events were seen, or where the field occurs', () => {
    expect(unseenFields(pipeline, undefined)).to.deep.equal([])
    expect(unseenFields(pipeline, ['cpuu'])).to.deep.equal([])
  })
})

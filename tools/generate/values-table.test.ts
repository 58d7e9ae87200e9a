import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { valuesTable } from './values-table.ts'

describe('valuesTable', () => {
  it('has a row for each value, and one for a map whose members have no comments', () => {
    const values = [
      '# How many.',
      'replicas: 2',
      '',
      'image:',
      '  # Where it is.',
      '  repository: here',
      '  # Which | one;',
      '  # <tag> or other.',
      '  tag: ""',
      '# As in a Pod.',
      'resources:',
      '  limits: {memory: 1Gi}',
      'silent: []',
    ].join('\n')
    expect(valuesTable(values).split('\n').slice(2)).to.deep.equal([
      '| `replicas` | `2` | How many. |',
      '| `image.repository` | `"here"` | Where it is. |',
      '| `image.tag` | `""` | Which \\| one; &lt;tag> or other. |',
      '| `resources` | `{"limits":{"memory":"1Gi"}}` | As in a Pod. |',
      '| `silent` | `[]` |  |',
    ])
  })

  it('has a sentence for each value of the chart', () => {
    const values = readFileSync(new URL('../../charts/anomaly-operator/values.yaml', import.meta.url), 'utf8')
    const silent = valuesTable(values)
      .split('\n')
      .filter((row) => row.endsWith('|  |'))
    expect(silent).to.deep.equal([])
  })
})

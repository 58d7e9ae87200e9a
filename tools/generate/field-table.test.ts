import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { fieldTable, withFieldTable } from './field-table.ts'

describe('fieldTable', () => {
  it('is what docs/operator.md says', () => {
    const page = readFileSync(new URL('../../docs/operator.md', import.meta.url), 'utf8')
    expect(withFieldTable(page)).to.equal(page)
  })

  it('has a sentence for each field', () => {
    const silent = fieldTable()
      .split('\n')
      .filter((row) => row.endsWith('|  |'))
    expect(silent).to.deep.equal([])
  })
})

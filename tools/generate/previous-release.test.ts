import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { previousReleasePath, withPresentFields } from './previous-release.ts'

describe('The previous release, as a fixture', () => {
  const release = readFileSync(join(import.meta.dirname, '../..', previousReleasePath), 'utf8')

  it('has the fields of this one (if not: npm run generate:chart)', () => {
    expect(withPresentFields(release)).to.equal(release)
  })

  it('gets them where it lacks some, and nothing else changes', () => {
    const lacking = release.replace(/^ {20}brokers:$/m, `${' '.repeat(20)}hosts:`)
    expect(lacking).to.not.equal(release)
    expect(withPresentFields(lacking)).to.equal(withPresentFields(release))
  })
})

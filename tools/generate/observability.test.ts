import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'

const root = join(import.meta.dirname, '../..')

describe('docs/observability.md', () => {
  it('tells of every metric that there is, and of no other', () => {
    const metrics = new Set<string>()
    for (const file of globSync('{lib,operator,workloads}/**/*.ts', { cwd: root }))
      if (!file.endsWith('.test.ts'))
        for (const [, name] of readFileSync(join(root, file), 'utf8').matchAll(/\bname: '(anomaly_[a-z_]+)'/g))
          metrics.add(name!)
    const page = readFileSync(join(root, 'docs/observability.md'), 'utf8')
    const told = Array.from(page.matchAll(/^\| `(anomaly_[a-z_]+)/gm), ([, name]) => name)
    expect(told).to.have.members([...metrics])
  })
})

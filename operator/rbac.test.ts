import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { parseAllDocuments } from 'yaml'
import { rbac } from './rbac.ts'

describe('rbac', () => {
  it('is what manifests/operator/rbac.yaml says', () => {
    const text = readFileSync(join(import.meta.dirname, '../manifests/operator/rbac.yaml'), 'utf8')
    const written = parseAllDocuments(text).map((document) => document.toJS() as unknown)
    expect(rbac({ name: 'anomaly-operator', namespace: 'anomaly-system' })).to.deep.equal(written)
  })

  it('gives nothing of the whole cluster but one CRD to an operator of some namespaces', () => {
    const roles = rbac({ name: 'o', namespace: 'n' }, ['a', 'b']).filter(({ kind }) => kind.endsWith('Role'))
    expect(roles.map(({ kind, metadata }) => [kind, 'namespace' in metadata ? metadata.namespace : ''])).to.deep.equal([
      ['ClusterRole', ''],
      ['Role', 'n'],
      ['Role', 'a'],
      ['Role', 'b'],
    ])
  })
})

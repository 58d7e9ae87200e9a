import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { rbac } from './rbac.ts'

const documents = rbac({ name: 'anomaly-operator', namespace: 'anomaly-system' })
const text = documents.map((document) => stringify(document, { aliasDuplicateObjects: false })).join('---\n')
writeFileSync(
  join(import.meta.dirname, '../manifests/operator/rbac.yaml'),
  `# Generated from operator/rbac.ts by \`npm run generate:rbac\`.\n${text}`,
)

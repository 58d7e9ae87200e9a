import { readFileSync, writeFileSync } from 'node:fs'
import { withFieldTable } from './field-table.ts'

const page = new URL('../../docs/operator.md', import.meta.url)
writeFileSync(page, withFieldTable(readFileSync(page, 'utf8')))

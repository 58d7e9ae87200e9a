import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { chartFiles } from './chart-files.ts'
import { previousReleasePath, withPresentFields } from './previous-release.ts'

const chart = join(import.meta.dirname, '../../charts/anomaly-operator')
for (const [path, text] of Object.entries(chartFiles((name) => readFileSync(join(chart, name), 'utf8')))) {
  mkdirSync(dirname(join(chart, path)), { recursive: true })
  writeFileSync(join(chart, path), text)
}
const previous = join(import.meta.dirname, '../..', previousReleasePath)
writeFileSync(previous, withPresentFields(readFileSync(previous, 'utf8')))

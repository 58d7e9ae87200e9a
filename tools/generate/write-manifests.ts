import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { manifestFiles } from './manifest-files.ts'

const manifests = join(import.meta.dirname, '../../manifests')
for (const [path, text] of Object.entries(manifestFiles((name) => readFileSync(join(manifests, name), 'utf8')))) {
  mkdirSync(dirname(join(manifests, path)), { recursive: true })
  writeFileSync(join(manifests, path), text)
}

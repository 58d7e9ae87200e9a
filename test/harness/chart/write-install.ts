import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { installFile, renderedInstallFile } from './chart.ts'

await mkdir(dirname(installFile), { recursive: true })
await writeFile(installFile, await renderedInstallFile())

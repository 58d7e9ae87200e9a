import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { installFile, renderedInstallFile } from '../release/chart.ts'

await mkdir(dirname(installFile), { recursive: true })
await writeFile(installFile, await renderedInstallFile())

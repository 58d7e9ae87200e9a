import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { parseDocument } from 'yaml'
import { removeFolder, temporaryFolder } from '../servers/server.ts'
import { chartFolder, helm, renderedInstallFile } from './chart.ts'

/**
 * Writes the chart's package and the manifest of the operator into a folder: `package.ts FOLDER --version X [--image
 * REPOSITORY]`. Both name that image, or the one that the chart names.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { version: { type: 'string' }, image: { type: 'string' } },
})
const [folder = 'dist'] = positionals
const { version, image } = values

const copy = temporaryFolder('chart')
const chart = join(copy, 'anomaly-operator')
await cp(chartFolder, chart, { recursive: true })
if (image !== undefined) {
  const file = join(chart, 'values.yaml')
  const document = parseDocument(await readFile(file, 'utf8'))
  document.setIn(['image', 'repository'], image)
  await writeFile(file, document.toString({ lineWidth: 0 }))
}
process.stdout.write(await helm(['package', chart, '--destination', folder]))
await writeFile(join(folder, `anomaly-operator-${version}.yaml`), await renderedInstallFile(chart))
removeFolder(copy)

import { execFile } from 'node:child_process'
import { createReadStream, createWriteStream, existsSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { parseArgs, promisify } from 'node:util'
import { createGunzip } from 'node:zlib'
import { parse } from 'yaml'
import { messageOf } from '../../lib/errors.ts'
import { ownBinary } from '../servers/binaries/binaries.ts'
import { removeFolder, temporaryFolder } from '../servers/server.ts'
import { helm } from './chart.ts'

/**
 * Pushes what `make release` made to a registry: `publish.ts --registry ghcr.io/OWNER --version X [--sign]`. The image is
 * REGISTRY/anomaly:X, the chart REGISTRY/charts/anomaly-operator:X. A version that is there stays as it is. Logs in as
 * Docker does (~/.docker/config.json). With --sign Cosign signs both by digest: with COSIGN_PRIVATE_KEY, or as the
 * identity of the workflow that runs this.
 */
const { values } = parseArgs({
  options: {
    registry: { type: 'string', default: '' },
    version: { type: 'string', default: '' },
    folder: { type: 'string', default: 'dist' },
    sign: { type: 'boolean', default: false },
  },
})
const run = promisify(execFile)
const { registry, version, folder, sign } = values
const archive = join(folder, `anomaly-${version}.tar.gz`)
const chart = join(folder, `anomaly-operator-${version}.tgz`)
const image = `${registry}/anomaly`
// As Docker has it: a registry on this machine has no TLS.
const isLocal = /^(localhost|127\.0\.0\.1)(:|\/|$)/.test(registry)

const temporary = temporaryFolder('publish')
try {
  await checkRelease()
  const published = [await publishImage(), await publishChart()]
  for (const one of published) {
    if (sign) await signed(one)
    console.log(`${one}${sign ? ', signed' : ''}`)
  }
} catch (error) {
  console.error(`publish: ${messageOf(error)}`)
  process.exitCode = 1
} finally {
  removeFolder(temporary)
}

async function checkRelease(): Promise<void> {
  if (registry === '') throw new Error('name the registry: make publish REGISTRY=ghcr.io/OWNER')
  if (sign) {
    const isThere = await run('cosign', ['version']).then(
      () => true,
      () => false,
    )
    if (!isThere)
      throw new Error('signing needs Cosign 3 on the path: https://docs.sigstore.dev/cosign/system_config/installation')
  }
  const again = `make release VERSION=${version} REGISTRY=${registry}`
  for (const file of [archive, chart]) if (!existsSync(file)) throw new Error(`${file} is not there: ${again} makes it`)
  const { repository } = (parse(await helm(['show', 'values', chart])) as { image: { repository: string } }).image
  if (repository !== image)
    throw new Error(`${chart} names the image ${repository}, not ${image}: ${again} makes it anew`)
}

async function publishImage(): Promise<string> {
  const tar = join(temporary, 'image.tar')
  await pipeline(createReadStream(archive), createGunzip(), createWriteStream(tar))
  const tag = `${image}:${version}`
  const digest = (await crane('digest', '--tarball', tar)).trim()
  const known = await digestOf(tag)
  if (known !== undefined && known !== digest)
    throw new Error(`${tag} is published already, with another content (${known}): release another version`)
  if (known === undefined) await crane('push', tar, tag)
  return `${image}@${digest}`
}

/** Helm packs a chart with the time of now: what is there is taken for the same. */
async function publishChart(): Promise<string> {
  const repository = `${registry}/charts/anomaly-operator`
  const tag = `${repository}:${version}`
  if ((await digestOf(tag)) === undefined)
    await helm(['push', chart, `oci://${registry}/charts`, ...(isLocal ? ['--plain-http'] : [])])
  return `${repository}@${await digestOf(tag)}`
}

/** undefined where there is no such tag. */
async function digestOf(tag: string): Promise<string | undefined> {
  try {
    return (await crane('digest', tag)).trim()
  } catch (error) {
    if (/MANIFEST_UNKNOWN|NAME_UNKNOWN|status code 404/.test(messageOf(error))) return undefined
    throw error
  }
}

async function crane(...args: string[]): Promise<string> {
  return (await run(await ownBinary('crane'), args)).stdout
}

/** Which key signs is nobody's business but its owner's: then nothing is written to the public log of Sigstore. */
async function signed(reference: string): Promise<void> {
  const own = ['--key', 'env://COSIGN_PRIVATE_KEY', '--use-signing-config=false', '--tlog-upload=false']
  const flags = process.env.COSIGN_PRIVATE_KEY === undefined ? [] : own
  await run('cosign', ['sign', '--yes', ...flags, reference])
}

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, glob, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { locked } from '../locked.ts'
import { requireCommands } from '../server.ts'

// Images where no container engine runs and no image registry is reached: Buildah, on a base of Debian's packages.

const run = promisify(execFile)
const here = import.meta.dirname
const root = join(here, '../../..')
const npmVersion = '11.21.2'
const base = 'localhost/anomaly-base'

/** As Debian's own slim image: without documentation, manuals and translations. */
const slim = ['doc', 'info', 'lintian', 'locale', 'man'].map(
  (folder) => `--dpkgopt=path-exclude=/usr/share/${folder}/*`,
)

/** Names under which pods find the images. */
export const imageNames = {
  pause: 'docker.io/library/anomaly-pause:1',
  redis: 'docker.io/library/redis:debian',
  anomaly: 'docker.io/library/anomaly',
} as const

/** The archive of the image that holds a pod's namespaces. */
export const pauseArchive = (): Promise<string> =>
  archive('pause', async (context) => {
    const env = { ...process.env, CGO_ENABLED: '0' }
    await run('go', ['build', '-ldflags', '-s -w', '-o', join(context, 'pause')], { cwd: join(here, 'pause'), env })
  })

/** The archive of Debian's Redis. */
export const redisArchive = (): Promise<string> =>
  archive('redis', async (context, folder) => await copyFile(await debian(folder), join(context, 'debian.tar')))

/** Builds the image of this checkout, on a base that stands in for the official one, and writes its archive. */
export async function anomalyArchive(version: string, target: string): Promise<void> {
  await inStorage(async ({ folder, env, buildah }) => {
    if (!(await buildah('images', '--quiet', '--filter', `reference=${base}`)))
      await build(buildah, 'node', base, async (context) => {
        await copyFile(await debian(folder), join(context, 'debian.tar'))
        await writeFile(join(context, 'package.json'), '{}')
        await run('npm', ['install', '--loglevel=error', `npm@${npmVersion}`], { cwd: context })
        await copyFile(process.execPath, join(context, 'node'))
      })
    const set = ['ENGINE=buildah', `BASE=${base}`, `IMAGE=${imageNames.anomaly}`, `VERSION=${version}`]
    const make = run('make', ['--silent', 'image-archive', ...set, `ARCHIVE=${target}`], { cwd: root, env, maxBuffer })
    await make.catch((error) => {
      throw new Error(`Cannot build the image: ${error.stderr.slice(-3000)}`)
    })
    await buildah('rmi', '--prune', '--force')
  })
}

const maxBuffer = 1 << 26
type Buildah = (...args: string[]) => Promise<string>
interface Storage {
  readonly folder: string
  readonly env: NodeJS.ProcessEnv
  readonly buildah: Buildah
}

/** Runs the work alone with a storage of images that is kept as long as nothing of it would be built differently. */
async function inStorage<T>(work: (storage: Storage) => Promise<T>): Promise<T> {
  await requireCommands({ buildah: 'buildah', mmdebstrap: 'mmdebstrap' })
  const digest = createHash('sha256').update(process.version)
  for (const file of await sources()) digest.update(file).update(await readFile(join(here, file)))
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'anomaly')
  const folder = join(cache, `images-${digest.digest('hex').slice(0, 8)}`)
  await mkdir(join(folder, 'tmp'), { recursive: true })
  const configuration = join(folder, 'storage.conf')
  const env = {
    ...process.env,
    BUILDAH_ISOLATION: 'chroot',
    CONTAINERS_STORAGE_CONF: configuration,
    TMPDIR: join(folder, 'tmp'),
  }
  const buildah: Buildah = async (...args) => {
    try {
      return (await run('buildah', args, { env, maxBuffer })).stdout.trim()
    } catch (error) {
      throw new Error(`buildah ${args.join(' ')}: ${(error as { stderr?: string }).stderr?.slice(-2000)}`, {
        cause: error,
      })
    }
  }
  return await locked(`${folder}.lock`, async () => {
    const paths = [`graphroot = "${folder}/storage"`, `runroot = "${folder}/run"`]
    await writeFile(configuration, ['[storage]', 'driver = "vfs"', ...paths, ''].join('\n'))
    return await work({ folder, env, buildah })
  })
}

async function sources(): Promise<string[]> {
  const files: string[] = []
  for await (const file of glob('{*.ts,*/*}', { cwd: here })) files.push(file)
  return files.sort()
}

/** Builds the Dockerfile of a folder here, beside what `prepare` puts into the context. */
async function build(
  buildah: Buildah,
  name: string,
  image: string,
  prepare: (context: string) => Promise<void>,
): Promise<void> {
  const context = await mkdtemp(join(tmpdir(), 'anomaly-image-'))
  try {
    await prepare(context)
    await buildah('build', '--quiet', '--file', join(here, name, 'Dockerfile'), '--tag', image, context)
  } finally {
    await rm(context, { recursive: true, force: true })
  }
}

async function archive(
  name: 'pause' | 'redis',
  prepare: (context: string, folder: string) => Promise<void>,
): Promise<string> {
  return await inStorage(async ({ folder, buildah }) => {
    const target = join(folder, `${name}.tar`)
    if (existsSync(target)) return target
    await build(buildah, name, imageNames[name], (context) => prepare(context, folder))
    await buildah('push', '--quiet', imageNames[name], `oci-archive:${target}.new:${imageNames[name]}`)
    await rename(`${target}.new`, target)
    await buildah('rmi', imageNames[name])
    return target
  })
}

async function debian(folder: string): Promise<string> {
  const target = join(folder, 'debian.tar')
  if (existsSync(target)) return target
  const merged = ['--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr', '--include=usr-is-merged']
  await run('mmdebstrap', ['--quiet', '--variant=apt', '--format=tar', ...slim, ...merged, 'bookworm', `${target}.new`])
  await rename(`${target}.new`, target)
  return target
}

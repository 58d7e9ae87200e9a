import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)
const here = import.meta.dirname

export type BinaryName = 'etcd' | 'kube-apiserver' | 'kube-controller-manager'

/** Which Go module (a folder here, which pins every version) holds the program. */
const modules: Record<BinaryName, { readonly folder: string; readonly package: string }> = {
  etcd: { folder: 'etcd', package: '.' },
  'kube-apiserver': { folder: 'kubernetes', package: 'k8s.io/kubernetes/cmd/kube-apiserver' },
  'kube-controller-manager': { folder: 'kubernetes', package: 'k8s.io/kubernetes/cmd/kube-controller-manager' },
}

/**
 * The path of a program of the control plane: from KUBEBUILDER_ASSETS, else from PATH, else from the user's cache folder,
 * where it is built with Go on first use (minutes; the API server is by far the longest). Two runs at once build once.
 */
export async function binary(name: BinaryName): Promise<string> {
  for (const folder of [process.env.KUBEBUILDER_ASSETS, ...(process.env.PATH ?? '').split(delimiter)]) {
    if (folder && (await isExecutable(join(folder, name)))) return join(folder, name)
  }
  const version = await kubernetesVersion()
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'anomaly', `kubernetes-${version}`)
  const target = join(cache, name)
  if (await isExecutable(target)) return target
  await mkdir(cache, { recursive: true })
  await locked(`${target}.lock`, async () => {
    if (!(await isExecutable(target))) await build(name, version, target)
  })
  return target
}

/** Version of the Kubernetes that is built, without its `v`. */
async function kubernetesVersion(): Promise<string> {
  const version = /^\tk8s\.io\/kubernetes v(\S+)/m.exec(await readFile(join(here, 'kubernetes', 'go.mod'), 'utf8'))?.[1]
  if (version === undefined)
    throw new Error('test/harness/apiserver/kubernetes/go.mod names no version of k8s.io/kubernetes')
  return version
}

async function build(name: BinaryName, version: string, target: string): Promise<void> {
  const { folder, package: goPackage } = modules[name]
  const partial = `${target}.${process.pid}`
  const base = 'k8s.io/component-base/version'
  const [major, minor] = version.split('.')
  const flags = `-s -w -X ${base}.gitVersion=v${version} -X ${base}.gitMajor=${major} -X ${base}.gitMinor=${minor}`
  process.stderr.write(`building ${name} into ${target} (once; takes minutes)\n`)
  try {
    await run('go', ['build', '-trimpath', '-ldflags', flags, '-o', partial, goPackage], {
      cwd: join(here, folder),
      env: { ...process.env, CGO_ENABLED: '0' },
      maxBuffer: 64 << 20,
    })
    await rename(partial, target)
  } catch (error) {
    await rm(partial, { force: true })
    throw new Error(
      `Cannot build ${name}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'Go is not installed' : (error as Error).message}. ` +
        `Install Go 1.24 or later, or set KUBEBUILDER_ASSETS to a folder that holds ${Object.keys(modules).join(', ')} ` +
        '(SKIP_INTEGRATION=1 leaves the integration tests out)',
      { cause: error },
    )
  }
}

/** Runs the work while this process alone holds the lock file; the lock of a process that died is taken over. */
async function locked(path: string, work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      const file = await open(path, 'wx')
      await file.writeFile(String(process.pid))
      await file.close()
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = Number(await readFile(path, 'utf8').catch(() => ''))
    if (holder > 0 && !isAlive(holder)) await rm(path, { force: true })
    else await sleep(500)
  }
  try {
    await work()
  } finally {
    await rm(path, { force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

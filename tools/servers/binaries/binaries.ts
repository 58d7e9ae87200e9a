import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { locked } from '../locked.ts'

const run = promisify(execFile)
const here = import.meta.dirname

/** Which Go module (a folder here, which pins every version) holds the program. */
const modules = {
  etcd: { folder: 'etcd', package: '.' },
  'kube-apiserver': { folder: 'kubernetes', package: 'k8s.io/kubernetes/cmd/kube-apiserver' },
  'kube-controller-manager': { folder: 'kubernetes', package: 'k8s.io/kubernetes/cmd/kube-controller-manager' },
  'kube-scheduler': { folder: 'kubernetes', package: 'k8s.io/kubernetes/cmd/kube-scheduler' },
  'kube-proxy': { folder: 'kubernetes', package: 'k8s.io/kubernetes/cmd/kube-proxy' },
  kubelet: { folder: 'kubernetes', package: 'k8s.io/kubernetes/cmd/kubelet' },
  kubectl: { folder: 'kubernetes', package: 'k8s.io/kubernetes/cmd/kubectl' },
  'metrics-server': { folder: 'metrics-server', package: 'sigs.k8s.io/metrics-server/cmd/metrics-server' },
  coredns: { folder: 'coredns', package: 'github.com/coredns/coredns' },
  helm: { folder: 'helm', package: 'helm.sh/helm/v4/cmd/helm' },
  argocd: { folder: 'argocd', package: 'github.com/argoproj/argo-cd/v3/cmd' },
} as const satisfies Record<string, { readonly folder: string; readonly package: string }>

export type BinaryName = keyof typeof modules

/**
 * The path of a program of a cluster: from KUBEBUILDER_ASSETS, else from PATH, else from the user's cache folder,
 * where it is built with Go on first use (minutes; the API server is by far the longest). Two runs at once build once.
 */
export async function binary(name: BinaryName): Promise<string> {
  for (const folder of [process.env.KUBEBUILDER_ASSETS, ...(process.env.PATH ?? '').split(delimiter)]) {
    if (folder && (await isExecutable(join(folder, name)))) return join(folder, name)
  }
  return await ownBinary(name)
}

/** As `binary`, but always the version that is pinned here. */
export async function ownBinary(name: BinaryName): Promise<string> {
  const { folder } = modules[name]
  const pins = await readFile(join(here, folder, 'go.mod'))
  const digest = createHash('sha256').update(pins).digest('hex').slice(0, 8)
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'anomaly', `${folder}-${digest}`)
  const target = join(cache, name)
  if (await isExecutable(target)) return target
  await mkdir(cache, { recursive: true })
  await locked(`${target}.lock`, async () => {
    if (!(await isExecutable(target))) await build(name, target)
  })
  return target
}

/** The folder with a Go module's sources, as its maker published them. */
export async function moduleSource(folder: (typeof modules)[BinaryName]['folder'], module: string): Promise<string> {
  const { stdout } = await run('go', ['mod', 'download', '-json', module], { cwd: join(here, folder) })
  return (JSON.parse(stdout) as { Dir: string }).Dir
}

/** Version of the Kubernetes that is built, without its `v`. */
async function kubernetesVersion(): Promise<string> {
  const version = /^\tk8s\.io\/kubernetes v(\S+)/m.exec(await readFile(join(here, 'kubernetes', 'go.mod'), 'utf8'))?.[1]
  if (version === undefined)
    throw new Error('tools/servers/binaries/kubernetes/go.mod names no version of k8s.io/kubernetes')
  return version
}

async function build(name: BinaryName, target: string): Promise<void> {
  const { folder, package: goPackage } = modules[name]
  const partial = `${target}.${process.pid}`
  const flags = ['-s -w']
  if (folder === 'kubernetes') {
    const version = await kubernetesVersion()
    const [major, minor] = version.split('.')
    for (const value of [`gitVersion=v${version}`, `gitMajor=${major}`, `gitMinor=${minor}`])
      flags.push(`-X k8s.io/component-base/version.${value}`)
  }
  process.stderr.write(`building ${name} into ${target} (once; takes minutes)\n`)
  try {
    await run('go', ['build', '-trimpath', '-ldflags', flags.join(' '), '-o', partial, goPackage], {
      cwd: join(here, folder),
      env: { ...process.env, CGO_ENABLED: '0' },
      maxBuffer: 64 << 20,
    })
    await rename(partial, target)
  } catch (error) {
    await rm(partial, { force: true })
    throw new Error(
      `Cannot build ${name}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'Go is not installed' : (error as Error).message}. ` +
        `Install Go 1.26 or later, or set KUBEBUILDER_ASSETS to a folder that holds ${name} ` +
        '(SKIP_INTEGRATION=1 leaves the integration tests out)',
      { cause: error },
    )
  }
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

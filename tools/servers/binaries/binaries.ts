import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { locked } from '../locked.ts'
import type { SetUpStep } from '../set-up.ts'

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
  crane: { folder: 'crane', package: 'github.com/google/go-containerregistry/cmd/crane' },
  argocd: { folder: 'argocd', package: 'github.com/argoproj/argo-cd/v3/cmd' },
} as const satisfies Record<string, { readonly folder: string; readonly package: string }>

export type BinaryName = keyof typeof modules

/**
 * The path of a program of a cluster: from KUBEBUILDER_ASSETS, else from PATH, else from the user's cache folder,
 * where it is built with Go on first use (minutes; the API server is by far the longest). Two runs at once build once.
 */
export async function binary(name: BinaryName): Promise<string> {
  return (await givenBinary(name)) ?? (await ownBinary(name))
}

async function givenBinary(name: BinaryName): Promise<string | undefined> {
  for (const folder of [process.env.KUBEBUILDER_ASSETS, ...(process.env.PATH ?? '').split(delimiter)]) {
    if (folder && (await isExecutable(join(folder, name)))) return join(folder, name)
  }
  return undefined
}

/** As `binary`, but always the version that is pinned here. */
export async function ownBinary(name: BinaryName): Promise<string> {
  const target = await ownPath(name)
  if (await isExecutable(target)) return target
  await mkdir(dirname(target), { recursive: true })
  await locked(`${target}.lock`, async () => {
    if (!(await isExecutable(target))) await build(name, target)
  })
  return target
}

/** The step that builds a program; `own` where only the pinned version will do. */
export function binaryStep(name: BinaryName, { own = false }: { readonly own?: boolean } = {}): SetUpStep {
  return {
    name,
    isDone: async () => (!own && (await givenBinary(name)) !== undefined) || (await isExecutable(await ownPath(name))),
    make: () => ownBinary(name),
  }
}

async function ownPath(name: BinaryName): Promise<string> {
  const { folder } = modules[name]
  const pins = await readFile(join(here, folder, 'go.mod'))
  const digest = createHash('sha256').update(pins).digest('hex').slice(0, 8)
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'anomaly', `${folder}-${digest}`, name)
}

/** The folder with a Go module's sources, as its maker published them. */
export async function moduleSource(folder: (typeof modules)[BinaryName]['folder'], module: string): Promise<string> {
  const { stdout } = await run('go', ['mod', 'download', '-json', module], { cwd: join(here, folder) })
  return (JSON.parse(stdout) as { Dir: string }).Dir
}

/** Whether a Go module that the go.mod of the folder names is on this machine. */
export async function isDownloaded(cwd: string, module: string): Promise<boolean> {
  const env = { ...process.env, GOPROXY: 'off', GOFLAGS: '-mod=mod' }
  return run('go', ['list', '-m', '-f', '{{.Dir}}', module], { cwd, env }).then(
    ({ stdout }) => stdout.trim() !== '',
    () => false,
  )
}

/** The step that downloads the sources of `moduleSource`. */
export function moduleStep(name: string, folder: (typeof modules)[BinaryName]['folder'], module: string): SetUpStep {
  return {
    name,
    isDone: () => isDownloaded(join(here, folder), module),
    make: () => moduleSource(folder, module),
  }
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
  try {
    await run('go', ['build', '-trimpath', '-ldflags', flags.join(' '), '-o', partial, goPackage], {
      cwd: join(here, folder),
      env: { ...process.env, CGO_ENABLED: '0' },
      maxBuffer: 64 << 20,
    })
    await rename(partial, target)
  } catch (error) {
    await rm(partial, { force: true })
    const { code, stderr, message } = error as NodeJS.ErrnoException & { readonly stderr?: string }
    const why = code === 'ENOENT' ? 'Go is not installed' : stderr?.trim().slice(-2000) || message
    throw new Error(
      `Cannot build ${name}: ${why}. Install Go 1.26 or later, or set SKIP_INTEGRATION=1 to leave the tests with servers out.`,
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

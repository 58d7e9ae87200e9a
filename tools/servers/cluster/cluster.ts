import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type BinaryName, binaryStep, ownBinary } from '../binaries/binaries.ts'
import { imageNames, pauseArchive } from '../images/images.ts'
import { requireCommands } from '../server.ts'
import { missingSteps, setUp } from '../set-up.ts'

const run = promisify(execFile)
const script = join(import.meta.dirname, 'cluster')
// One a machine: its addresses and its network namespace have fixed names.
export const clusterHome = '/var/tmp/anomaly-cluster'
const namespace = 'anomaly-node'
const networkNamespace = `/run/netns/${namespace}`
const kubeconfig = join(clusterHome, 'pki/admin.kubeconfig')
const programs = join(clusterHome, 'programs')
const env = {
  ...process.env,
  CLUSTER_HOME: clusterHome,
  CLUSTER_NAMESPACE: namespace,
  CLUSTER_PROGRAMS: programs,
  CLUSTER_PAUSE_IMAGE: imageNames.pause,
}

const debianPackages = {
  containerd: 'containerd',
  ctr: 'containerd',
  runc: 'runc',
  '/usr/lib/cni/bridge': 'containernetworking-plugins',
  iptables: 'iptables',
  ip: 'iproute2',
  conntrack: 'conntrack',
  openssl: 'openssl',
  sysctl: 'procps',
}

const clusterPrograms: readonly BinaryName[] = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kube-proxy',
  'coredns',
  'metrics-server',
  'kubectl',
  'helm',
]

/** A real Kubernetes of one node, which runs pods. */
export interface Cluster {
  /** The admin's. */
  readonly kubeconfig: string
  /** Folder with `kubectl`, `helm` and the other programs. */
  readonly programs: string
  /** Where the API server and what is started inside the namespace answer, for pods and for this machine. */
  readonly nodeIp: string
  /** This machine, as pods reach it. */
  readonly hostIp: string
  /** Path of the node's network namespace, for `nsenter --net=`. */
  readonly networkNamespace: string
  /** Runs kubectl and gives what it printed. */
  kubectl(args: readonly string[], options?: { readonly input?: string }): Promise<string>
  helm(args: readonly string[]): Promise<string>
  /** Imports the images of an archive, as `kind load image-archive` does. */
  load(archive: string): Promise<void>
  /** A further name for an image of the node. */
  tag(image: string, name: string): Promise<void>
  /** Ends everything and removes it. It ends as well when this process does, however it ends. */
  stop(): Promise<void>
}

/** Starts a cluster in about 20 s once its programs are built, with CoreDNS, metrics-server and a default StorageClass. */
export async function startCluster(): Promise<Cluster> {
  if (process.getuid?.() !== 0) throw new Error('Cannot start a cluster: namespaces and cgroups take root')
  await requireCommands(debianPackages)
  const steps = clusterPrograms.map((name) => binaryStep(name, { own: true }))
  await setUp(await missingSteps(steps), { print: (line) => process.stdout.write(`${line}\n`) })
  const paths: (readonly [string, string])[] = []
  for (const name of clusterPrograms) paths.push([name, await ownBinary(name)])
  const pause = await pauseArchive()
  const guard = await startGuard()
  try {
    // What is left of a run whose guard was killed too.
    await run(script, ['down'], { env })
    await mkdir(programs, { recursive: true })
    for (const [name, path] of paths) await symlink(path, join(programs, name))
    await run(script, ['up', pause], { env })
    return { ...runningCluster(), stop: guard.end }
  } catch (error) {
    await guard.end()
    const { stderr, message } = error as Error & { stderr?: string }
    throw new Error(`Cannot start a cluster: ${stderr || message}`, { cause: error })
  }
}

/**
 * A process that takes the cluster down as soon as this one is gone, however it went: it reads a pipe that then closes.
 * As long as it lives it holds the lock, so that the next one waits until everything is removed.
 */
async function startGuard(): Promise<{ end(): Promise<void> }> {
  const text = 'exec 9>"$1"; flock --timeout 60 9 && echo held && { read -r _; "$0" down; }'
  const stdio = ['pipe', 'pipe', 'inherit'] as const
  const guard = spawn('bash', ['-c', text, script, `${clusterHome}.lock`], { env, detached: true, stdio: [...stdio] })
  const exited = once(guard, 'exit')
  const [line] = await Promise.race([once(guard.stdout!, 'data'), exited])
  if (String(line) !== 'held\n') throw new Error('Cannot start a cluster: another process of this machine has one up')
  guard.stdout!.destroy()
  guard.stdin!.on('error', () => {})
  guard.unref()
  return {
    async end() {
      guard.ref()
      guard.stdin!.destroy()
      await exited
    },
  }
}

/** The cluster that another process of this machine has started, and ends. */
export function runningCluster(): Omit<Cluster, 'stop'> {
  const program =
    (name: BinaryName): Cluster['kubectl'] =>
    async (args, { input = '' } = {}) => {
      const call = run(join(programs, name), [...args], { env: { ...env, KUBECONFIG: kubeconfig }, maxBuffer: 1 << 26 })
      // It may end without having read it.
      call.child.stdin!.on('error', () => {})
      call.child.stdin!.end(input)
      try {
        return (await call).stdout
      } catch (error) {
        const { stderr, message } = error as Error & { stderr?: string }
        throw new Error(`${name} ${args.join(' ')}: ${stderr?.trim() || message}`, { cause: error })
      }
    }
  return {
    kubeconfig,
    programs,
    nodeIp: '10.200.0.2',
    hostIp: '10.200.0.1',
    networkNamespace,
    kubectl: program('kubectl'),
    helm: program('helm'),
    async load(archive) {
      await run(script, ['load', archive], { env })
    },
    async tag(image, name) {
      await run(script, ['tag', image, name], { env })
    },
  }
}

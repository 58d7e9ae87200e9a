import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { removeFolder, temporaryFolder } from '../servers/server.ts'
import type { Host } from './host.ts'

const name = 'anomaly'
const root = join(import.meta.dirname, '../..')

async function run(program: string, args: readonly string[], { input = '' } = {}): Promise<string> {
  try {
    const call = promisify(execFile)(program, [...args], { cwd: root, maxBuffer: 1 << 26 })
    call.child.stdin!.end(input)
    return (await call).stdout
  } catch (error) {
    const { stderr, message, code } = error as Error & { stderr?: string; code?: unknown }
    if (code === 'ENOENT') throw new Error(`${program} is missing: this takes Docker or Podman, kind, kubectl and helm`)
    throw new Error(`${program} ${args.join(' ')}: ${stderr?.trim().slice(-2000) || message}`, { cause: error })
  }
}

/** Nodes that are containers of Docker or Podman. */
export function kind(): Host {
  const engine = process.env.ENGINE || 'docker'
  const kubectl: Host['kubectl'] = (args, options) => run('kubectl', ['--context', `kind-${name}`, ...args], options)
  const helm = (args: readonly string[]) => run('helm', ['--kube-context', `kind-${name}`, ...args])
  return {
    kubectl,
    helm,
    async start() {
      for (const [program, ...args] of [
        [engine, 'info'],
        ['kind', 'version'],
        ['kubectl', 'version', '--client'],
        ['helm', 'version'],
      ])
        await run(program!, args)
      if (!(await run('kind', ['get', 'clusters'])).split('\n').includes(name))
        await run('kind', ['create', 'cluster', '--config', 'kind-config.yaml', '--wait', '120s'])
      await helm([
        ...['upgrade', '--install', 'metrics-server', 'metrics-server', '--namespace', 'kube-system', '--wait'],
        ...['--repo', 'https://kubernetes-sigs.github.io/metrics-server/', '--version', '3.13.1'],
        ...['--set', 'args={--kubelet-insecure-tls}'],
      ])
    },
    async loadImage(version) {
      const folder = temporaryFolder('image')
      const archive = join(folder, 'anomaly.tar')
      await run('make', ['--silent', 'image-archive', `ENGINE=${engine}`, `VERSION=${version}`, `ARCHIVE=${archive}`])
      await run('kind', ['load', 'image-archive', archive, '--name', name])
      removeFolder(folder)
    },
    async startKafka() {
      await kubectl(['apply', '-f', 'manifests/kafka/kafka.yaml'])
      await kubectl(['-n', 'kafka', 'rollout', 'status', 'statefulset/kafka', '--timeout=300s'])
    },
    values: [],
    pipeline: {},
    shell: `kubectl config use-context kind-${name}`,
    end: 'make kind-down',
  }
}

import { randomBytes } from 'node:crypto'
import { mkdirSync, symlinkSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { moduleSource, ownBinary } from '../binaries/binaries.ts'
import { startRedis } from '../redis.ts'
import {
  freePorts,
  removeFolder,
  requireCommands,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../server.ts'
import type { Cluster } from './cluster.ts'

/** An Argo CD beside a cluster, without its API and its pages: Applications are made with kubectl, in `argocd`. */
export interface ArgoCd {
  /** An empty folder that Argo CD can read, for a git repository: `file://${repository}`. */
  readonly repository: string
  /** The cluster, as Applications name it. */
  readonly destination: string
  stop(): Promise<void>
}

const namespace = 'argocd'
const crds = ['application-crd', 'appproject-crd', 'applicationset-crd']
const settings = [
  'argocd-cm',
  'argocd-cmd-params-cm',
  'argocd-gpg-keys-cm',
  'argocd-rbac-cm',
  'argocd-secret',
  'argocd-ssh-known-hosts-cm',
  'argocd-tls-certs-cm',
]

/** Starts the application controller and the repository server as processes of this machine. */
export async function startArgoCd(
  cluster: Pick<Cluster, 'kubectl' | 'kubeconfig' | 'programs' | 'nodeIp'>,
): Promise<ArgoCd> {
  await requireCommands({ git: 'git' })
  const { kubectl } = cluster
  const binary = await ownBinary('argocd')
  const source = await moduleSource('argocd', 'github.com/argoproj/argo-cd/v3')
  const folder = temporaryFolder('argocd')
  const repository = join(folder, 'repository')
  const programs = join(folder, 'programs')
  for (const path of [repository, programs]) mkdirSync(path)
  // One program, which does what the name says that it is called by.
  for (const name of ['argocd-repo-server', 'argocd-application-controller']) symlinkSync(binary, join(programs, name))

  const destination = `https://${cluster.nodeIp}:6443`
  const files = (names: readonly string[], path: string) =>
    names.flatMap((name) => ['-f', join(source, path, `${name}.yaml`)])
  await kubectl(['create', 'namespace', namespace])
  await kubectl(['apply', '--server-side', ...files(crds, 'manifests/crds')])
  await kubectl(['-n', namespace, 'apply', '--server-side', ...files(settings, 'manifests/base/config')])
  const key = { stringData: { 'server.secretkey': randomBytes(16).toString('hex') } }
  await kubectl(['-n', namespace, 'patch', 'secret', 'argocd-secret', '-p', JSON.stringify(key)])
  const { clusters, users } = JSON.parse(await kubectl(['config', 'view', '--raw', '-o', 'json']))
  const tlsClientConfig = {
    caData: clusters[0].cluster['certificate-authority-data'],
    certData: users[0].user['client-certificate-data'],
    keyData: users[0].user['client-key-data'],
  }
  const objects = [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'cluster', namespace, labels: { 'argocd.argoproj.io/secret-type': 'cluster' } },
      stringData: { name: 'local', server: destination, config: JSON.stringify({ tlsClientConfig }) },
    },
    {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'AppProject',
      metadata: { name: 'default', namespace },
      spec: {
        sourceRepos: ['*'],
        destinations: [{ namespace: '*', server: '*' }],
        clusterResourceWhitelist: [{ group: '*', kind: '*' }],
      },
    },
  ]
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects })
  await kubectl(['apply', '--server-side', '-f', '-'], { input })

  const redis = await startRedis()
  const [port, repositoryMetrics, controllerMetrics] = (await freePorts(3)) as [number, number, number]
  const environment = [
    `PATH=${[programs, cluster.programs, process.env.PATH].join(delimiter)}`,
    `KUBECONFIG=${cluster.kubeconfig}`,
    `POD_NAMESPACE=${namespace}`,
    `TMPDIR=${folder}`,
    'ARGOCD_GPG_ENABLED=false',
  ]
  const servers: ServerProcess[] = []
  const start = async (name: string, metrics: number, args: readonly string[]): Promise<void> => {
    const flags = ['--redis', `127.0.0.1:${redis.port}`, '--metrics-port', String(metrics), ...args]
    const ready = async () => (await fetch(`http://127.0.0.1:${metrics}/healthz`)).ok
    const log = join(folder, `${name}.log`)
    servers.push(await startServer('env', [...environment, join(programs, name), ...flags], { log, ready }))
  }
  const local = ['--address', '127.0.0.1', '--metrics-address', '127.0.0.1']
  await start('argocd-repo-server', repositoryMetrics, ['--disable-tls', ...local, '--port', String(port)])
  await start('argocd-application-controller', controllerMetrics, [
    ...['--namespace', namespace, '--repo-server', `127.0.0.1:${port}`, '--repo-server-plaintext'],
    ...['--app-resync', '30'],
  ])
  return {
    repository,
    destination,
    async stop() {
      for (const server of servers.toReversed()) await server.kill()
      await redis.stop()
      removeFolder(folder)
    },
  }
}

import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type ArgoCd, startArgoCd } from '../../../tools/servers/cluster/argocd.ts'
import type { Step } from '../run-steps.ts'
import { openTraffic } from '../traffic.ts'
import { demo, must, pipelineDocument, secondsUntil, topicsOf, untilReady, type World } from '../world.ts'

const run = promisify(execFile)
const name = 'from-git'
const app = 'pipelines'
const quietMinutes = 5

let argocd: ArgoCd | undefined

const git = (...args: string[]) =>
  run('git', ['-c', 'user.name=e2e', '-c', 'user.email=e2e@example.com', '-C', argocd!.repository, ...args])

/** Commits the pipeline as it should be. */
async function commit(brokers: readonly string[], spec: Readonly<Record<string, unknown>>): Promise<void> {
  const folder = join(argocd!.repository, 'pipelines')
  mkdirSync(folder, { recursive: true })
  const document = pipelineDocument(name, brokers, {
    state: { redis: { managed: { memoryMebibytes: 64, storage: { type: 'Ephemeral' } } } },
    ...spec,
  })
  writeFileSync(join(folder, `${name}.yaml`), JSON.stringify(document, null, 2))
  await git('add', '.')
  await git('commit', '-q', '-m', 'Change the pipeline')
}

async function untilApplication({ kubectl }: World, sync: string, health: string): Promise<number> {
  return await secondsUntil(async () => {
    // Looked at on request, as a webhook would have it, and not at the next of its rounds.
    await kubectl([
      ...['-n', 'argocd', 'annotate', 'application', app, '--overwrite'],
      'argocd.argoproj.io/refresh=normal',
    ])
    await delay(1000)
    const { status } = await kubectl.get('application', app, 'argocd')
    must(
      status?.sync?.status === sync && status?.health?.status === health,
      `the Application is ${status?.sync?.status} and ${status?.health?.status}: ${JSON.stringify(status?.conditions ?? '')}`,
    )
  }, 240_000)
}

export const argocdSteps: readonly Step<World>[] = [
  {
    name: 'Argo CD: an Application from git is Synced and Healthy',
    async run(world) {
      argocd = await startArgoCd(world.cluster)
      await git('init', '-q', '-b', 'main')
      await commit(world.brokers, {})
      const custom = readFileSync(join(import.meta.dirname, '../../../manifests/argocd/argocd-cm.yaml'), 'utf8')
      await world.kubectl(['-n', 'argocd', 'patch', 'cm', 'argocd-cm', '--type=merge', '--patch', custom])
      await world.kubectl.apply({
        apiVersion: 'argoproj.io/v1alpha1',
        kind: 'Application',
        metadata: { name: app, namespace: 'argocd' },
        spec: {
          project: 'default',
          source: { repoURL: `file://${argocd.repository}`, path: 'pipelines', targetRevision: 'main' },
          destination: { server: argocd.destination, namespace: demo },
          syncPolicy: { automated: { prune: true, selfHeal: true }, syncOptions: ['ServerSideApply=true'] },
        },
      })
      await untilApplication(world, 'Synced', 'Healthy')
      await untilReady(world, name)
    },
  },
  {
    name: 'Argo CD: an edit in git rolls out, a hand edit is healed',
    async run(world) {
      const { kubectl, brokers } = world
      const replicasOf = async (): Promise<unknown> => (await kubectl.get('apl', name, demo)).spec.api.replicas
      await commit(brokers, { api: { replicas: 2 } })
      await untilApplication(world, 'Synced', 'Healthy')
      await secondsUntil(async () => must((await replicasOf()) === 2, 'the edit is not there'))
      await untilReady(world, name)
      const { status } = await kubectl.get('deployment', `${name}-api`, demo)
      must(status.readyReplicas === 2, `${status.readyReplicas} API pods instead of 2`)
      await kubectl.patch('apl', name, demo, { spec: { api: { replicas: 1 } } })
      await secondsUntil(async () => must((await replicasOf()) === 2, 'the hand edit stands'))
      await untilApplication(world, 'Synced', 'Healthy')
    },
  },
  {
    name: `Argo CD: autoscaling and selfHeal do not fight for ${quietMinutes} minutes`,
    async run(world) {
      const { kubectl, brokers, kafka } = world
      const autoscaling = { minReplicas: 1, maxReplicas: 2, targetLag: 1000, targetCpuPercent: 90 }
      await commit(brokers, { consumer: { replicas: undefined, autoscaling }, api: { replicas: 1 } })
      await untilApplication(world, 'Synced', 'Healthy')
      await secondsUntil(async () =>
        must((await kubectl.find('hpa', `${name}-consumer`, demo)) !== undefined, 'there is no HPA'),
      )
      await untilReady(world, name)
      const generation = async (kind: string, of: string) => (await kubectl.get(kind, of, demo)).metadata.generation
      const application = async () => (await kubectl.get('application', app, 'argocd')).status
      const before = { apl: await generation('apl', name), synced: (await application()).history.length }
      const traffic = await openTraffic(kafka, topicsOf(name))
      const replicas = kubectl.watch('deployment', `${name}-consumer`, demo, '{.spec.replicas}')
      try {
        // The floor goes up once; who would fight would take it down again and again.
        await traffic.burst(40_000)
        traffic.start(20)
        const end = performance.now() + quietMinutes * 60_000
        while (performance.now() < end) {
          await delay(5000)
          const { sync } = await application()
          must(sync.status === 'Synced', `the Application is ${sync.status}`)
        }
        const after = { apl: await generation('apl', name), synced: (await application()).history.length }
        must(
          JSON.stringify(after) === JSON.stringify(before),
          `${JSON.stringify(before)} became ${JSON.stringify(after)}`,
        )
        const changes = replicas.seen.filter((count, i) => i > 0 && count !== replicas.seen[i - 1])
        must(changes.length <= 2, `replicas went ${replicas.seen.join(', ')}`)
        await traffic.expectExact()
      } finally {
        replicas.stop()
        await traffic.close()
      }
    },
  },
  {
    name: 'Argo CD: a pause stands, and shows as Suspended',
    async run(world) {
      await world.kubectl.patch('apl', name, demo, { spec: { desiredState: 'Paused' } })
      await untilApplication(world, 'Synced', 'Suspended')
      await world.kubectl.patch('apl', name, demo, { spec: { desiredState: 'Running' } })
      await untilApplication(world, 'Synced', 'Healthy')
    },
  },
  {
    name: 'Argo CD: what is removed from git is removed from the cluster',
    async run(world) {
      const { kubectl } = world
      // Git knows no empty folder.
      writeFileSync(join(argocd!.repository, 'pipelines', 'README.md'), 'No pipelines.\n')
      await git('rm', '-q', `pipelines/${name}.yaml`)
      await git('add', '.')
      await git('commit', '-q', '-m', 'Remove the pipeline')
      await kubectl(['-n', 'argocd', 'patch', 'application', app, '--type=merge', '-p', allowEmpty])
      await secondsUntil(async () => {
        await kubectl([
          '-n',
          'argocd',
          'annotate',
          'application',
          app,
          '--overwrite',
          'argocd.argoproj.io/refresh=normal',
        ])
        must((await kubectl.find('apl', name, demo)) === undefined, 'the pipeline is still there')
      })
      await kubectl(['-n', 'argocd', 'delete', 'application', app])
      await argocd?.stop()
    },
  },
]

const allowEmpty = JSON.stringify({
  spec: { syncPolicy: { automated: { prune: true, selfHeal: true, allowEmpty: true } } },
})

import { join } from 'node:path'
import { createLogger } from '../../lib/log.ts'
import { version } from '../../lib/version.ts'
import { binaryStep } from '../../tools/servers/binaries/binaries.ts'
import { type Cluster, startCluster } from '../../tools/servers/cluster/cluster.ts'
import { anomalyArchive, imageNames, redisArchive } from '../../tools/servers/images/images.ts'
import { type Kafka, startKafka } from '../../tools/servers/kafka/kafka.ts'
import { type Postgres, startPostgres } from '../../tools/servers/postgres.ts'
import { removeFolder, temporaryFolder } from '../../tools/servers/server.ts'
import { missingSteps, setUp } from '../../tools/servers/set-up.ts'
import { createKubectl } from './kubectl.ts'
import { type Plan, runSteps, type Step } from './run-steps.ts'
import { argocdSteps } from './steps/argocd.ts'
import { backupSteps } from './steps/backup.ts'
import { faultSteps } from './steps/faults.ts'
import { historySteps } from './steps/history.ts'
import { installSteps } from './steps/install.ts'
import { liveSteps } from './steps/live.ts'
import { namingSteps } from './steps/naming.ts'
import { redisSteps } from './steps/redis.ts'
import { scaleDown, scaleUp } from './steps/scaling.ts'
import { uninstallSteps } from './steps/uninstall.ts'
import { upgradeSteps } from './steps/upgrade.ts'
import { demo, system, troubled, type World } from './world.ts'

/**
 * `make e2e`: the operator on a real cluster, from nothing to nothing. Each step stands on those before it, some run beside each
 * other; the table at the end says what passed, and what took how long beside its goal. STEPS=redis,live picks groups.
 */

const folder = temporaryFolder('e2e')
const archive = join(folder, 'anomaly.tar')
const tags = { first: version, second: `${version}-next` }
let cluster: Cluster | undefined
let kafka: Kafka | undefined
let postgres: Postgres | undefined
// Filled in by the first steps.
const world = { tags } as World

const prepare: readonly Step<World>[] = [
  {
    name: 'the image is built',
    async run() {
      await anomalyArchive(tags.first, archive)
    },
  },
  {
    // Not where it is started: others measure times there.
    name: 'Argo CD is built, where it is not yet',
    async run() {
      const missing = await missingSteps(asked.includes('argocd') ? [binaryStep('argocd', { own: true })] : [])
      await setUp(missing, { print: (line) => process.stdout.write(`${line}\n`) })
    },
  },
  {
    name: 'a cluster of one node starts, with the images, Kafka and PostgreSQL',
    async run() {
      cluster = await startCluster()
      await cluster.load(archive)
      await cluster.load(await redisArchive())
      await cluster.tag(`${imageNames.anomaly}:${tags.first}`, `${imageNames.anomaly}:${tags.second}`)
      // What the chart names, where no registry is reached.
      await cluster.tag(imageNames.redis, 'docker.io/library/redis:8.2-alpine')
      kafka = await startKafka({ node: cluster })
      postgres = await startPostgres({ node: cluster })
      Object.assign(world, {
        cluster,
        kubectl: createKubectl(join(cluster.programs, 'kubectl'), cluster.kubeconfig),
        helm: cluster.helm,
        brokers: kafka.brokers,
        postgres,
        kafka: { brokers: kafka.brokers, clientId: 'e2e', log: await createLogger({ level: 'silent' }) },
      })
    },
  },
]

const tearDown: readonly Step<World>[] = [
  {
    name: 'the cluster ends',
    async run() {
      await postgres?.stop()
      await kafka?.stop()
      await cluster?.stop()
      postgres = kafka = cluster = undefined
    },
  },
]

/** What somebody who looks for the reason would ask first. */
async function tellMore(): Promise<void> {
  if (cluster === undefined) return
  const { kubectl } = world
  const questions: readonly (readonly string[])[] = [
    ['get', 'pods', '-A', '-o', 'wide'],
    ['get', 'apl,hpa,pvc', '-A', '-o', 'wide'],
    ['get', 'apl', '-A', '-o', 'jsonpath={range .items[*]}{.metadata.name}{"\\n"}{.status}{"\\n"}{end}'],
    ['get', 'events', '-A', '--sort-by=.lastTimestamp'],
    ['-n', system, 'logs', '-l', 'app.kubernetes.io/name=anomaly-operator', '--tail=30'],
    ...[demo, troubled].map((namespace) => [
      ...['-n', namespace, 'logs', '-l', 'app.kubernetes.io/managed-by=anomaly-operator', '--tail=15', '--prefix'],
    ]),
  ]
  for (const args of questions) {
    const answer = await kubectl(args).catch((error: unknown) => String(error))
    process.stdout.write(`--- kubectl ${args.join(' ')}\n${answer.slice(-6000)}\n`)
  }
}

const groups = {
  install: installSteps,
  scaleUp,
  scaleDown,
  faults: faultSteps,
  upgrade: upgradeSteps,
  argocd: argocdSteps,
  naming: namingSteps,
  backup: backupSteps,
  history: historySteps,
  live: liveSteps,
  redis: redisSteps,
  uninstall: uninstallSteps,
} as const
type Group = keyof typeof groups

const asked = process.env.STEPS?.split(',') ?? Object.keys(groups)
const unknown = asked.find((name) => !(name in groups))
if (unknown !== undefined) throw new Error(`STEPS: no ${unknown} among ${Object.keys(groups).join(', ')}`)
/** What every other group stands on is run whatever was asked for. */
const group = (name: Group): Plan<World> => (name === 'install' || asked.includes(name) ? groups[name] : [])

/**
 * What measures times under load has the processor for itself, but for what only waits: most of the quarter of an hour in
 * which consumers go, and of Argo CD's minutes of peace.
 */
const plan: Plan<World> = [
  prepare,
  group('install'),
  group('scaleUp'),
  {
    beside: [
      group('scaleDown'),
      [
        group('faults'),
        group('upgrade'),
        {
          beside: [
            group('argocd'),
            [group('naming'), group('backup'), group('history'), group('live'), group('redis')],
          ],
        },
      ],
    ],
  },
  group('uninstall'),
  tearDown,
]
try {
  const passed = await runSteps(world, plan, { onFailure: tellMore })
  process.exitCode = passed ? 0 : 1
} finally {
  await postgres?.stop()
  await kafka?.stop()
  await cluster?.stop()
  removeFolder(folder)
}
process.exit()

import { join } from 'node:path'
import { createLogger } from '../../lib/log.ts'
import { version } from '../../lib/version.ts'
import { type Cluster, startCluster } from '../../tools/servers/cluster/cluster.ts'
import { anomalyArchive, imageNames, redisArchive } from '../../tools/servers/images/images.ts'
import { type Kafka, startKafka } from '../../tools/servers/kafka/kafka.ts'
import { type Postgres, startPostgres } from '../../tools/servers/postgres.ts'
import { removeFolder, temporaryFolder } from '../../tools/servers/server.ts'
import { createKubectl } from './kubectl.ts'
import { runSteps, type Step } from './run-steps.ts'
import { argocdSteps } from './steps/argocd.ts'
import { faultSteps } from './steps/faults.ts'
import { historySteps } from './steps/history.ts'
import { installSteps } from './steps/install.ts'
import { namingSteps } from './steps/naming.ts'
import { redisSteps } from './steps/redis.ts'
import { scaleDown, scaleUp } from './steps/scaling.ts'
import { uninstallSteps } from './steps/uninstall.ts'
import { upgradeSteps } from './steps/upgrade.ts'
import { demo, system, type World } from './world.ts'

/**
 * `make e2e`: the operator on a real cluster, from nothing to nothing. Each step stands on those before it; the table at
 * the end says what passed, and what took how long beside its goal.
 */

const folder = temporaryFolder('e2e')
const archive = join(folder, 'anomaly.tar')
const tags = { first: version, second: `${version}-next` }
let cluster: Cluster | undefined
let kafka: Kafka | undefined
let postgres: Postgres | undefined
// Filled in by the first steps.
const world = { tags } as World

const setUp: readonly Step<World>[] = [
  {
    name: 'the image is built',
    async run() {
      await anomalyArchive(tags.first, archive)
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
  const asked: readonly (readonly string[])[] = [
    ['get', 'pods', '-A', '-o', 'wide'],
    ['-n', demo, 'get', 'apl,hpa,pvc', '-o', 'wide'],
    ['-n', demo, 'get', 'apl', '-o', 'jsonpath={range .items[*]}{.metadata.name}{"\\n"}{.status}{"\\n"}{end}'],
    ['-n', demo, 'get', 'events', '--sort-by=.lastTimestamp'],
    ['-n', system, 'logs', '-l', 'app.kubernetes.io/name=anomaly-operator', '--tail=30'],
    ['-n', demo, 'logs', '-l', 'app.kubernetes.io/managed-by=anomaly-operator', '--tail=15', '--prefix'],
  ]
  for (const args of asked) {
    const answer = await kubectl(args).catch((error: unknown) => String(error))
    process.stdout.write(`--- kubectl ${args.join(' ')}\n${answer.slice(-6000)}\n`)
  }
}

const only = process.env.STEPS?.split(',')
const groups = {
  install: installSteps,
  faults: faultSteps,
  redis: redisSteps,
  upgrade: upgradeSteps,
  history: historySteps,
  scaleUp,
  argocd: argocdSteps,
  naming: namingSteps,
  scaleDown,
  uninstall: uninstallSteps,
} as const
const chosen = Object.entries(groups).flatMap(([name, steps]) =>
  only === undefined || name === 'install' || only.includes(name) ? steps : [],
)
try {
  const passed = await runSteps(world, [...setUp, ...chosen, ...tearDown], { onFailure: tellMore })
  process.exitCode = passed ? 0 : 1
} finally {
  await postgres?.stop()
  await kafka?.stop()
  await cluster?.stop()
  removeFolder(folder)
}
process.exit()

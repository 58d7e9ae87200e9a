import { readdirSync, readFileSync } from 'node:fs'
import type { KubeResource } from '../kubectl.ts'
import type { Step } from '../run-steps.ts'
import {
  conditionOf,
  demo,
  isReady,
  must,
  podsOf,
  secondsUntil,
  shown,
  system,
  untilReady,
  type World,
} from '../world.ts'

const load = 100

/** Asks the API server to evict a pod: 201, or 429 where a budget forbids it. */
async function evict({ kubectl }: World, pod: KubeResource): Promise<'evicted' | 'refused'> {
  const { name } = pod.metadata
  const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: demo } }
  const path = `/api/v1/namespaces/${demo}/pods/${name}/eviction`
  try {
    await kubectl(['create', '--raw', path, '-f', '-'], { input: JSON.stringify(eviction) })
    return 'evicted'
  } catch (error) {
    if (/disruption budget/.test(String(error))) return 'refused'
    throw error
  }
}

/** Signals a pod's process, by default as `kill -9`: it can say goodbye to nobody. The containers of the harness are processes of this machine. */
export function signalPod(
  { metadata }: KubeResource,
  signal: NodeJS.Signals = 'SIGKILL',
  program = 'anomaly.ts',
): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const isOfPod = readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(`pod${metadata.uid}`)
      if (isOfPod && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(program)) {
        process.kill(Number(pid), signal)
        return
      }
    } catch (error) {
      // Many processes end while this looks at them.
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }
  throw new Error(`${metadata.name} has no process of ours`)
}

/** The pod that holds the operator's Lease. */
async function leader({ kubectl }: World): Promise<string> {
  const lease = await kubectl.get('lease', 'anomaly-operator', system)
  return String(lease.spec.holderIdentity).replace(/-\d+$/, '')
}

export const faultSteps: readonly Step<World>[] = [
  {
    name: 'kill -9 of the consumer under load: exact',
    async run(world, measure) {
      world.traffic.start(load)
      const [pod] = await podsOf(world, 'payments', 'consumer')
      signalPod(pod!)
      measure('killed consumer to processing again', 30, await world.traffic.untilProcessing())
      await world.traffic.expectExact()
    },
  },
  {
    name: 'evictions: the first is granted, the second refused by the budget',
    async run(world) {
      await untilReady(world, 'payments')
      world.traffic.start(load)
      const pods = await podsOf(world, 'payments', 'api')
      must(pods.length === 2, `${pods.length} API pods instead of 2`)
      const answers = [await evict(world, pods[0]!), await evict(world, pods[1]!)]
      must(String(answers) === 'evicted,refused', `evictions: ${answers}`)
      await untilReady(world, 'payments')
      await world.traffic.expectExact()
    },
  },
  {
    name: 'the Redis pod deleted under load: exact, Ready again',
    async run(world, measure) {
      world.traffic.start(load)
      const [redis] = await podsOf(world, 'payments', 'redis')
      const began = performance.now()
      await world.kubectl(['-n', demo, 'delete', 'pod', redis!.metadata.name, '--wait=false'])
      await secondsUntil(async () => {
        const [now] = await podsOf(world, 'payments', 'redis')
        must(now !== undefined && now.metadata.uid !== redis!.metadata.uid && isReady(now), 'Redis is not back')
      })
      await untilReady(world, 'payments')
      measure('Redis pod deleted to Ready again', 60, (performance.now() - began) / 1000)
      await world.traffic.expectExact()
    },
  },
  {
    name: 'kill -9 of the leading operator, and its pod gone: another leads, exact',
    async run(world, measure) {
      const { kubectl } = world
      world.traffic.start(load)
      const before = await leader(world)
      const began = performance.now()
      signalPod(await kubectl.get('pod', before, system))
      // Its successor in the same pod would go on in its name.
      await kubectl(['-n', system, 'delete', 'pod', before, '--force', '--grace-period=0', '--wait=false'])
      await secondsUntil(async () => must((await leader(world)) !== before, `${before} still leads`))
      measure('operator fail-over', 20, (performance.now() - began) / 1000)
      await untilReady(world, 'payments')
      await world.traffic.expectExact()
    },
  },
  {
    name: 'drift is healed',
    async run(world, measure) {
      const { kubectl } = world
      const argsOf = async (): Promise<string> =>
        JSON.stringify((await kubectl.get('deployment', 'payments-api', demo)).spec.template.spec.containers[0].args)
      const wanted = await argsOf()
      const change = [{ op: 'replace', path: '/spec/template/spec/containers/0/args', value: ['api', '--help'] }]
      await kubectl(['-n', demo, 'patch', 'deployment', 'payments-api', '--type=json', '-p', JSON.stringify(change)])
      const began = performance.now()
      await secondsUntil(async () => must((await argsOf()) === wanted, 'the arguments are not healed'))
      measure('drift healed', 2, (performance.now() - began) / 1000)
      await kubectl(['-n', demo, 'delete', 'service', 'payments-api'])
      await secondsUntil(async () =>
        must((await kubectl.find('service', 'payments-api', demo)) !== undefined, 'no Service'),
      )
      await untilReady(world, 'payments')
    },
  },
  {
    name: 'autoscaling on and off under load: ready pods never drop',
    async run(world) {
      const { kubectl } = world
      await kubectl.patch('apl', 'payments', demo, { spec: { consumer: { replicas: 2 } } })
      await untilReady(world, 'payments')
      world.traffic.start(load)
      const watches = (['consumer', 'inference', 'api'] as const).map((role) => ({
        role,
        ready: Number.NaN,
        watch: kubectl.watch('deployment', `payments-${role}`, demo, '{.spec.replicas} {.status.readyReplicas}'),
      }))
      try {
        const autoscaling = { minReplicas: 2, maxReplicas: 3, targetCpuPercent: 900 }
        for (const on of [true, false, true, false]) {
          const scaling = (replicas: number) => (on ? { replicas: null, autoscaling } : { replicas, autoscaling: null })
          await kubectl.patch('apl', 'payments', demo, { spec: { consumer: scaling(2), api: scaling(2) } })
          await secondsUntil(async () => {
            const hpa = await kubectl.find('hpa', 'payments-api', demo)
            must((hpa !== undefined) === on, `the HPA is ${on ? 'absent' : 'still there'}`)
          })
          await untilReady(world, 'payments')
        }
        for (const { role, watch } of watches) {
          const counts = watch.seen.map((line) => line.split(' ').map(Number) as [number, number])
          const least = role === 'inference' ? 1 : 2
          must(counts.length > 0, `nothing was seen of ${role}`)
          must(
            counts.every(([replicas, ready]) => replicas >= least && ready >= least),
            `${role} fell: ${watch.seen.join(', ')}`,
          )
        }
      } finally {
        for (const { watch } of watches) watch.stop()
      }
      await world.traffic.expectExact()
    },
  },
  {
    name: 'pause to no pods, resume to Ready: exact',
    async run(world, measure) {
      const { kubectl, traffic } = world
      traffic.start(load)
      const began = performance.now()
      await kubectl.patch('apl', 'payments', demo, { spec: { desiredState: 'Paused' } })
      await secondsUntil(async () => {
        const pods = await kubectl.list('pods', demo, 'app.kubernetes.io/instance=payments')
        must(pods.length === 0, `${pods.length} pods are left`)
      })
      measure('pause to zero pods', 30, (performance.now() - began) / 1000)
      const paused = conditionOf(await kubectl.get('apl', 'payments', demo), 'Ready')
      must(paused?.reason === 'Paused', `Ready is ${shown(paused)}`)
      await kubectl.patch('apl', 'payments', demo, { spec: { desiredState: 'Running' } })
      await untilReady(world, 'payments')
      must((await podsOf(world, 'payments', 'consumer')).length === 2, 'the consumers are not as many as before')
      await traffic.expectExact()
    },
  },
]

import { chartFolder } from '../../../tools/release/chart.ts'
import type { Step } from '../run-steps.ts'
import { sum } from '../traffic.ts'
import { demo, must, podsOf, selectorOf, system, uidsOf, untilCondition, untilReady, type World } from '../world.ts'

const upgrade = ({ helm }: World, tag: string): Promise<string> =>
  helm(['upgrade', 'anomaly-operator', chartFolder, '-n', system, '--wait', '--set', `image.tag=${tag}`])

export const upgradeSteps: readonly Step<World>[] = [
  {
    name: 'helm upgrade to this release with the same image: no workload restarts',
    async run(world) {
      const { kubectl } = world
      const before = uidsOf(await podsOf(world, 'payments'))
      await upgrade(world, world.tags.first)
      await untilReady(world, 'payments')
      // A change that reconciles the pipeline for sure, and waits until it was.
      await kubectl(['-n', demo, 'annotate', 'apl', 'payments', '--overwrite', 'example.com/touched=yes'])
      await kubectl.patch('apl', 'payments', demo, { spec: { state: { featureTtlSeconds: 300 } } })
      await untilReady(world, 'payments')
      const after = uidsOf(await podsOf(world, 'payments'))
      must(String(before) === String(after), `pods changed: ${before} became ${after}`)
    },
  },
  {
    name: 'helm upgrade with a new image: one pod at a time, exact',
    async run(world) {
      const { kubectl, traffic, tags } = world
      traffic.start(100)
      const rollouts = (['consumer', 'inference', 'api'] as const).map((role) => ({
        name: `payments-${role}`,
        available: kubectl.watch(
          'deployment',
          `payments-${role}`,
          demo,
          '{.spec.replicas} {.status.availableReplicas}',
        ),
        // Not the Deployment's own count: it adds up what its ReplicaSets reported at different times.
        wanted: kubectl.watch(
          'replicaset',
          { selector: selectorOf('payments', role) },
          demo,
          '{.metadata.name} {.spec.replicas}',
        ),
      }))
      try {
        await upgrade(world, tags.second)
        await untilImage(world, tags.second)
        await untilReady(world, 'payments')
        for (const { name, available, wanted } of rollouts) {
          must(
            available.seen.every((line) => {
              const [desired, now] = line.split(' ').map(Number) as [number, number]
              return now >= desired
            }),
            `${name} had fewer pods than it should: ${available.seen.join(', ')}`,
          )
          const { replicas } = (await kubectl.get('deployment', name, demo)).spec
          const pods = new Map<string, number>()
          for (const line of wanted.seen) {
            const [replicaSet, count] = line.split(' ') as [string, string]
            pods.set(replicaSet, Number(count))
            must(sum(pods.values()) <= replicas + 1, `${name} did not roll one by one: ${wanted.seen.join(', ')}`)
          }
          must(pods.size > 1, `${name} was not seen to roll: ${wanted.seen.join(', ')}`)
        }
      } finally {
        for (const { available, wanted } of rollouts) {
          available.stop()
          wanted.stop()
        }
      }
      await traffic.expectExact()
    },
  },
  {
    name: 'an image that cannot be pulled is named, while the old pods go on: exact',
    async run(world) {
      const { kubectl, traffic } = world
      traffic.start(100)
      const available = kubectl.watch('deployment', 'payments-consumer', demo, '{.status.availableReplicas}')
      const operator = await kubectl.get('deployment', 'anomaly-operator', system)
      const { args } = operator.spec.template.spec.containers[0] as { args: string[] }
      const at = args.findIndex((argument) => argument.startsWith('--workload-image='))
      const setImage = async (argument: string): Promise<void> => {
        const change = [{ op: 'replace', path: `/spec/template/spec/containers/0/args/${at}`, value: argument }]
        await kubectl([
          ...['-n', system, 'patch', 'deployment', 'anomaly-operator', '--type=json'],
          ...['-p', JSON.stringify(change)],
        ])
      }
      try {
        await setImage('--workload-image=docker.io/library/anomaly:absent')
        await untilCondition(world, 'payments', { type: 'Ready', status: 'False', message: /pull/i })
        await untilCondition(world, 'payments', { type: 'Available', status: 'True' })
        await setImage(args[at]!)
        await untilReady(world, 'payments')
        must(!available.seen.includes('0'), `available consumers: ${available.seen.join(', ')}`)
      } finally {
        available.stop()
      }
      await traffic.expectExact()
    },
  },
]

async function untilImage(world: World, tag: string): Promise<void> {
  for (const role of ['consumer', 'inference', 'api'])
    await world.kubectl([
      ...['-n', demo, 'wait', `deployment/payments-${role}`, '--timeout=180s'],
      `--for=jsonpath={.spec.template.spec.containers[0].image}=docker.io/library/anomaly:${tag}`,
    ])
}

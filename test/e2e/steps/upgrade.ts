import { chartFolder } from '../../harness/chart/chart.ts'
import type { Step } from '../run-steps.ts'
import { demo, must, podsOf, system, uidsOf, untilReady, type World } from '../world.ts'

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
      const deployments = (['consumer', 'inference', 'api'] as const).map((role) => `payments-${role}`)
      const watches = deployments.map((name) => ({
        name,
        watch: kubectl.watch(
          'deployment',
          name,
          demo,
          '{.spec.replicas} {.status.availableReplicas} {.status.replicas}',
        ),
      }))
      try {
        await upgrade(world, tags.second)
        await untilImage(world, tags.second)
        await untilReady(world, 'payments')
        for (const { name, watch } of watches)
          for (const line of watch.seen) {
            const [desired, available, total] = line.split(' ').map(Number) as [number, number, number]
            must(
              available >= desired && total <= desired + 1,
              `${name} did not roll one by one: ${watch.seen.join(', ')}`,
            )
          }
      } finally {
        for (const { watch } of watches) watch.stop()
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

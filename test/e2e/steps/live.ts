import { setTimeout as delay } from 'node:timers/promises'
import { startReceiver } from '../../harness/receiver.ts'
import type { KubeResource } from '../kubectl.ts'
import type { Step } from '../run-steps.ts'
import { demo, must, podsOf, secondsUntil, untilReady, type World } from '../world.ts'
import { withPortForward } from './install.ts'

const name = 'payments'
const goalSeconds = 10

/** Those that judge or tell by the document. */
const workloadPods = async (world: World) =>
  (await podsOf(world, name)).filter(
    ({ metadata }) => !metadata.labels?.['app.kubernetes.io/component']?.startsWith('redis'),
  )

/** Changes when a pod is replaced, and when a container starts again. */
function livesOf(pods: readonly KubeResource[]): string {
  const lives = pods.map(({ metadata, status }) => {
    const restarts = (status.containerStatuses as { restartCount: number }[]).map(({ restartCount }) => restartCount)
    return `${metadata.uid} started again ${restarts} times`
  })
  return lives.sort().join(', ')
}

/** Edits the document and waits until each pod says that it judges by it, and then until the status says so. */
async function edit(world: World, spec: object): Promise<{ readonly taken: number; readonly acknowledged: number }> {
  const { kubectl } = world
  const before = livesOf(await podsOf(world, name))
  const began = performance.now()
  await kubectl.patch('apl', name, demo, { spec })
  const { generation } = (await kubectl.get('apl', name, demo)).metadata
  const pods = await workloadPods(world)
  await Promise.all(
    pods.map(({ metadata }) =>
      secondsUntil(async () => {
        const path = `/api/v1/namespaces/${demo}/pods/${metadata.name}:9090/proxy/status`
        const said = JSON.parse(await kubectl(['get', '--raw', path])) as { generation: number }
        must(said.generation === generation, `${metadata.name} judges by generation ${said.generation}`)
      }),
    ),
  )
  const taken = (performance.now() - began) / 1000
  await secondsUntil(async () => {
    const { observedConfig } = (await kubectl.get('apl', name, demo)).status
    must(observedConfig === generation, `status.observedConfig is ${observedConfig} instead of ${generation}`)
  })
  const after = livesOf(await podsOf(world, name))
  must(after === before, `pods changed: ${before} became ${after}`)
  return { taken, acknowledged: (performance.now() - began) / 1000 }
}

interface Verdict {
  readonly isAnomaly: boolean
  readonly suppressedBy?: string
}

/** Judges an event far above the rule of the pipeline, of this key, by REST. */
const judge = (world: World, userId: string): Promise<Verdict> =>
  withPortForward(world, `svc/${name}-api`, 8080, async (port) => {
    const event = { eventId: crypto.randomUUID(), timestamp: Date.now(), userId, value: 100_000 }
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/detect`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(event),
    })
    const text = await answer.text()
    must(answer.ok, `the API answers ${answer.status}: ${text}`)
    return JSON.parse(text) as Verdict
  })

export const liveSteps: readonly Step<World>[] = [
  {
    name: 'an alert budget and a mute are taken up by the pods that run: none starts again, exact',
    async run(world, measure) {
      await untilReady(world, name)
      world.traffic.start(50)
      const budget = await edit(world, { detection: { alertBudgetPerMillion: 500 } })
      measure('alert budget edited, taken up by every pod', goalSeconds, budget.taken)
      measure('alert budget edited, acknowledged in the status', 15, budget.acknowledged)
      const loud = await judge(world, 'quiet-1')
      must(loud.isAnomaly, `before the mute the verdict is ${JSON.stringify(loud)}`)
      const mutes = [{ keys: ['quiet-*'], until: '2100-01-01T00:00:00Z', note: 'known' }]
      const mute = await edit(world, { detection: { mutes } })
      measure('mute edited, taken up by every pod', goalSeconds, mute.taken)
      const muted = await judge(world, 'quiet-2')
      must(!muted.isAnomaly && muted.suppressedBy === 'Muted', `the verdict is ${JSON.stringify(muted)}`)
      must((await judge(world, 'loud-1')).isAnomaly, 'a key that is not muted does not alert')
      await edit(world, { detection: { mutes: null } })
      must((await judge(world, 'quiet-3')).isAnomaly, 'the mute is gone, and its keys do not alert')
      await world.traffic.expectExact()
    },
  },
  {
    name: 'a receiver of notifications is taken up by the recorder that runs, and is told',
    async run(world, measure) {
      const { kubectl, cluster } = world
      const [first, second] = await Promise.all([
        startReceiver(undefined, { host: cluster.hostIp }),
        startReceiver(undefined, { host: cluster.hostIp }),
      ])
      try {
        const hooks = [first, second].map(({ url }, i) => ({ name: `hook-${i}`, webhook: { url } }))
        await kubectl.patch('apl', name, demo, {
          spec: {
            results: { episodesTopic: `${name}-episodes` },
            notifications: hooks.slice(0, 1),
            recorder: { resources: { requests: { cpu: '50m', memory: '128Mi' } } },
          },
        })
        await untilReady(world, name)
        const began = performance.now()
        const { taken } = await edit(world, { notifications: hooks })
        measure('receiver added, taken up by every pod', goalSeconds, taken)
        let events = 0
        await secondsUntil(async () => {
          await judge(world, `told-${events++}`)
          await delay(1000)
          must(second.events().length > 0, 'the new receiver has been told nothing')
        })
        measure('receiver added, told of an episode', 30, (performance.now() - began) / 1000)
        const [told] = second.events()
        must(/^com\.anomaly\.episodes?\./.test(told!.type), `it was told ${JSON.stringify(told)}`)
        await kubectl.patch('apl', name, demo, { spec: { notifications: null } })
        await secondsUntil(async () =>
          must((await kubectl.find('deployment', `${name}-recorder`, demo)) === undefined, 'the recorder is there'),
        )
        await untilReady(world, name)
        await world.traffic.expectExact()
      } finally {
        first.close()
        second.close()
      }
    },
  },
]

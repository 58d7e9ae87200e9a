import type { Step } from '../run-steps.ts'
import { conditionOf, demo, must, secondsUntil, untilCondition, untilReady, type World } from '../world.ts'
import { withPortForward } from './install.ts'

const name = 'payments'
const schema = `anomaly_${demo}_${name}`

/** Until the history has as many rows as there were events. */
async function untilRecorded({ postgres }: World, events: number): Promise<number> {
  return await secondsUntil(async () => {
    const [found] = await postgres.sql(`SELECT count(*)::int AS rows FROM "${schema}".verdicts`)
    must(found?.rows === events, `${found?.rows} rows of ${events} events`)
  })
}

/** What the API answers through a port-forward. */
const asked = (world: World, ...paths: readonly string[]) =>
  withPortForward(
    world,
    `svc/${name}-api`,
    8080,
    async (port) =>
      await Promise.all(
        paths.map(async (path) => {
          const answer = await fetch(`http://127.0.0.1:${port}${path}`)
          const text = await answer.text()
          must(answer.ok, `${path} answers ${answer.status}: ${text}`)
          return text
        }),
      ),
  )

export const historySteps: readonly Step<World>[] = [
  {
    name: 'a history: each verdict has a row, and the API answers from it through a port-forward',
    async run(world, measure) {
      const { kubectl, postgres, traffic } = world
      await kubectl(['-n', demo, 'create', 'secret', 'generic', 'history', `--from-literal=url=${postgres.url}`])
      const began = performance.now()
      await kubectl.patch('apl', name, demo, {
        spec: {
          results: { episodesTopic: `${name}-episodes` },
          history: { postgres: { urlSecretRef: { name: 'history', key: 'url' } } },
          recorder: { resources: { requests: { cpu: '50m', memory: '128Mi' } } },
        },
      })
      await untilReady(world, name)
      measure('history set to recorder Ready', 120, (performance.now() - began) / 1000)
      await traffic.burst(2000)
      await untilRecorded(world, await traffic.expectExact())
      const [page, overview, results] = await asked(world, '/', '/api/v1/overview', '/api/v1/results?limit=1')
      must(page!.includes('/app/console/console.ts'), page!)
      const { keepsHistory, processes } = JSON.parse(overview!) as { keepsHistory: boolean; processes: object }
      must(keepsHistory && 'recorder' in processes && 'consumer' in processes, overview!)
      const [last] = (JSON.parse(results!) as { results: readonly { readonly eventId: string }[] }).results
      const [verdict] = await asked(world, `/api/v1/results/${last!.eventId}`)
      must((JSON.parse(verdict!) as { eventId: string }).eventId === last!.eventId, verdict!)
    },
  },
  {
    name: 'PostgreSQL away: said, and detection goes on; back: each verdict has a row, once',
    async run(world, measure) {
      const { kubectl, postgres, traffic } = world
      traffic.start(50)
      const away = { type: 'Degraded', status: 'True', reason: 'HistoryUnavailable' }
      await postgres.halt()
      measure('PostgreSQL ended to Degraded', 15, await untilCondition(world, name, away))
      measure('PostgreSQL away to processing', 30, await traffic.untilProcessing())
      const available = conditionOf(await kubectl.get('apl', name, demo), 'Available')
      must(available?.status === 'True', `Available is ${available?.status}`)
      await postgres.start()
      await untilCondition(world, name, { type: 'Degraded', status: 'False' })
      await untilReady(world, name)
      await untilRecorded(world, await traffic.expectExact())
    },
  },
  {
    name: 'a history no longer: the recorder goes, what was recorded stays',
    async run(world) {
      const { kubectl, postgres } = world
      await kubectl.patch('apl', name, demo, { spec: { history: null } })
      await secondsUntil(async () =>
        must((await kubectl.find('deployment', `${name}-recorder`, demo)) === undefined, 'the recorder is there'),
      )
      await untilReady(world, name)
      const [overview] = await asked(world, '/api/v1/overview')
      must((JSON.parse(overview!) as { keepsHistory: boolean }).keepsHistory === false, overview!)
      const [kept] = await postgres.sql(`SELECT count(*)::int AS rows FROM "${schema}".verdicts`)
      must(Number(kept?.rows) > 0, 'no row is left')
      await kubectl(['-n', demo, 'delete', 'secret', 'history'])
    },
  },
]

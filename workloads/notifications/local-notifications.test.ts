import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { expect } from 'chai'
import { Registry } from 'prom-client'
import { createLogger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { createLocalNotifications } from './local-notifications.ts'
import { episode } from './test-episode.ts'

const log = await createLogger({ level: 'silent' })

describe('Notifications of one process', () => {
  const told: { readonly path: string; readonly type: string; readonly episodes: number }[] = []
  const server = createServer(async (request, response) => {
    if (request.url === '/hangs') return
    const { type, data } = (await json(request)) as { readonly type: string; readonly data: { episodes?: unknown[] } }
    told.push({ path: request.url!, type, episodes: data.episodes?.length ?? 1 })
    response.end()
  })
  before(async () => void (await once(server.listen(0, '127.0.0.1'), 'listening')))
  after(() => server.close().closeAllConnections())

  function open(...paths: readonly string[]) {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const pipeline = parsePipeline({
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata: { name: 'payments' },
      spec: {
        source: { brokers: ['localhost:9092'] },
        results: { episodesTopic: 'episodes' },
        notifications: paths.map((path) => ({ name: path.slice(1), webhook: { url: `${url}${path}` } })),
      },
    })
    return createLocalNotifications({ pipeline, secretsFolder: undefined, registry: new Registry(), log })
  }
  const storm = (count: number) => Array.from({ length: count }, (_, i) => episode({ episodeId: `event-${i}` }))

  it('reach every receiver, whichever of them hangs, and all that waits is told before the end', async () => {
    const notifications = open('/hangs', '/answers')
    await notifications.start!(new AbortController().signal)
    notifications.observe(storm(1))
    notifications.observe([episode({ episodeId: 'event-0', change: 'Updated' })])
    while (told.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    notifications.observe(storm(101).slice(1))
    await notifications.stop!()
    expect(told).to.deep.equal([
      { path: '/answers', type: 'com.anomaly.episode.opened', episodes: 1 },
      { path: '/answers', type: 'com.anomaly.episodes.digest', episodes: 100 },
    ])
  }).timeout(20_000)
})

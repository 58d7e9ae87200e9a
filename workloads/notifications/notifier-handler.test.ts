import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { expect } from 'chai'
import { Registry } from 'prom-client'
import { createLogger } from '../../lib/log.ts'
import { type Clock, systemClock } from '../../lib/time.ts'
import type { Episode } from '../detection/episode.ts'
import { pipelineHeader } from '../wire/pipeline-header.ts'
import { notificationMetrics } from './notification-metrics.ts'
import { Notifier } from './notifier.ts'
import { notifierHandler } from './notifier-handler.ts'
import { closed, episode } from './test-episode.ts'

const log = await createLogger({ level: 'silent' })
/** What is gathered for a second is gathered for ten milliseconds. */
const clock: Clock = { ...systemClock, after: (ms, callback) => systemClock.after(ms / 100, callback) }

describe('What is told of a topic', () => {
  const ids: string[] = []
  let status = 200
  const server = createServer(async (request, response) => {
    const event = (await json(request)) as { readonly id: string }
    ids.push(event.id.slice('shop/payments/'.length))
    response.writeHead(status).end()
  })
  const notifiers: Notifier[] = []
  before(async () => void (await once(server.listen(0, '127.0.0.1'), 'listening')))
  beforeEach(() => {
    ids.length = 0
    status = 200
  })
  after(async () => {
    await Promise.all(notifiers.map((notifier) => notifier.stop()))
    server.close().closeAllConnections()
  })

  /** @param log of the topic, by offset */
  function open(published: readonly Episode[] = [], committed?: number) {
    const notifier = new Notifier({
      notification: {
        name: 'hook',
        webhook: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` },
        minScore: '0.9',
      },
      subject: { namespace: 'shop', pipeline: 'payments', externalUrl: undefined },
      secretsFolder: undefined,
      metrics: notificationMetrics(new Registry(), () => new Map()),
      clock,
      log,
    })
    notifiers.push(notifier)
    notifier.start()
    const place = { committed }
    const reads: object[] = []
    const handler = notifierHandler({
      notifier,
      pipeline: 'payments',
      deadLetterTopic: 'dead',
      committed: async () => place.committed,
      async read(_, offsets, onRecord) {
        reads.push(offsets)
        for (let offset = offsets.from; offset < offsets.until; offset++) onRecord(recordOf(published[offset]!, offset))
      },
    })
    const batch = (offset: number, ...episodes: readonly Episode[]) =>
      handler.batch({
        topic: 'episodes',
        partition: 0,
        records: episodes.map((one, i) => recordOf(one, offset + i)),
      })
    return { handler, batch, place, reads }
  }
  const recordOf = (one: Episode, offset: number) => ({
    offset,
    key: one.userId,
    value: JSON.stringify(one),
    timestamp: Date.now(),
  })

  it('is told before the offset is committed', async () => {
    const { handler, batch } = open()
    await handler.assigned(0)
    expect(await batch(0, episode(), episode({ change: 'Updated' }), closed({ episodeId: 'other' }))).to.deep.equal([])
    expect(ids).to.deep.equal(['event-1/opened'])
  })

  it('comes again with the same id where the offset was not committed', async () => {
    const { handler, batch } = open()
    await handler.assigned(0)
    await batch(0, episode())
    handler.dropped(0)
    await batch(0, episode())
    handler.committed(0)
    await batch(1, episode({ change: 'Updated' }))
    expect(ids).to.deep.equal(['event-1/opened', 'event-1/opened'])
  })

  it('is what the records before the committed offset left, after a restart or for another owner', async () => {
    const before = [episode(), episode({ episodeId: 'event-2', peakScore: 0.5 }), episode({ episodeId: 'event-3' })]
    const { handler, batch, reads } = open(before, 3)
    await handler.assigned(0)
    expect(reads).to.deep.equal([{ from: 0, until: 3 }])
    expect(ids).to.deep.equal([])
    await batch(
      3,
      episode({ change: 'Updated' }),
      episode({ episodeId: 'event-2', change: 'Updated', peakScore: 0.95 }),
      closed({ episodeId: 'event-3' }),
    )
    expect(ids).to.deep.equal(['event-2/opened', 'event-3/closed'])
  })

  it('takes in what another owner told meanwhile', async () => {
    const published = [episode(), episode({ episodeId: 'event-2' })]
    const { handler, batch, place, reads } = open(published, 0)
    await handler.assigned(0)
    await batch(0, episode())
    handler.committed(0)
    place.committed = 2
    await handler.assigned(0)
    expect(reads.at(-1)).to.deep.equal({ from: 1, until: 2 })
    await batch(2, episode({ episodeId: 'event-2', change: 'Updated' }))
    expect(ids).to.deep.equal(['event-1/opened'])
  })

  it('is a dead letter where the receiver will never take it', async () => {
    status = 400
    const { handler, batch } = open()
    await handler.assigned(0)
    const [letter, ...others] = await batch(7, episode())
    expect(others).to.deep.equal([])
    expect(letter).to.deep.equal({
      topic: 'dead',
      key: 'user-1',
      value: JSON.stringify(episode()),
      headers: {
        'anomaly-reason': 'NotDelivered',
        'anomaly-message': 'it answers 400',
        'anomaly-topic': 'episodes',
        'anomaly-partition': '0',
        'anomaly-offset': '7',
        'anomaly-receiver': 'hook',
      },
    })
  })

  it('is nothing of what is no episode, or another pipeline’s', async () => {
    const { handler } = open()
    await handler.assigned(0)
    const values = [null, 'no JSON', '3', 'null', '{}', '{"episodeId":"x"}']
    const junk = values.map((value, offset) => ({ offset, key: null, value, timestamp: Date.now() }))
    const records = [...junk, { ...recordOf(episode(), 6), headers: pipelineHeader('another') }]
    expect(await handler.batch({ topic: 'episodes', partition: 0, records })).to.deep.equal([])
    expect(ids).to.deep.equal([])
  })
})

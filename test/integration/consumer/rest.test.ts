import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'chai'
import type { Verdict } from '../../../workloads/detection/verdict.ts'
import { eventually } from '../../harness/eventually.ts'
import { type Cluster, eventOf, judged, patience, type Role, type Scene, startCluster } from './cluster.ts'

interface Answer {
  readonly status: number
  readonly retryAfter: string | null
  readonly body: Verdict
}

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('Events that come over REST', () => {
  let cluster: Cluster
  let scene: Scene
  let inference: string
  let api: Role & { readonly url: string }

  before(async () => {
    cluster = await startCluster()
  })
  after(() => cluster?.stop())
  beforeEach(async () => {
    scene = await cluster.scene()
    inference = (await scene.inference()).address
  })
  afterEach(() => scene?.stop())

  async function detect(event: object): Promise<Answer> {
    const headers = { 'Content-Type': 'application/json' }
    const response = await fetch(`${api.url}/api/v1/detect`, { method: 'POST', headers, body: JSON.stringify(event) })
    const body = (await response.json()) as Verdict
    return { status: response.status, retryAfter: response.headers.get('retry-after'), body }
  }

  const nth = (i: number) => ({ ...eventOf(i), eventId: `rest-${i}` })

  /** Ten callers at a time, each of which asks until it gets a verdict; `answers` are all those to each event. */
  function ask() {
    const answers = new Map<string, Answer[]>()
    const over = new AbortController()
    let next = 0
    const caller = async (): Promise<void> => {
      for (; !over.signal.aborted; await delay(20)) {
        const event = nth(next++)
        const ofEvent: Answer[] = []
        answers.set(event.eventId, ofEvent)
        do {
          ofEvent.push(await detect(event))
          if (ofEvent.at(-1)!.status !== 200) await delay(200)
        } while (ofEvent.at(-1)!.status !== 200)
      }
    }
    const asking = Promise.all(Array.from({ length: 10 }, caller))
    asking.catch(() => {})
    return {
      answers: answers as ReadonlyMap<string, readonly Answer[]>,
      async stop() {
        over.abort()
        await asking
      },
    }
  }

  /** Each event was answered with a verdict that was published for it. */
  function expectPublished(answers: ReadonlyMap<string, readonly Answer[]>, verdicts: readonly Verdict[]): void {
    const byId = Map.groupBy(verdicts, ({ eventId }) => eventId)
    for (const [eventId, ofEvent] of answers) expect(byId.get(eventId), eventId).to.deep.include(ofEvent.at(-1)!.body)
  }

  it('are judged once, among those of Kafka, with the verdict that they were answered with, while consumers are killed', async () => {
    const load = scene.load()
    let consumer = await scene.consumer({ inference })
    api = await scene.api({ inference })
    const { answers, stop } = ask()
    for (let round = 0; round < 2; round++) {
      await judged(consumer, 1000)
      await consumer.kill()
      consumer = await scene.consumer({ inference })
    }
    await judged(consumer, 500)
    await stop()
    await load.stop()
    await scene.caughtUp()
    const verdicts = await scene.expectExact()
    expect(answers.size).to.be.greaterThan(200)
    expect([...answers.values()].every((ofEvent) => ofEvent.length === 1)).to.equal(true)
    expectPublished(answers, verdicts)
    expect(verdicts.filter(({ eventId }) => eventId.startsWith('rest-')).length, 'none twice').to.equal(answers.size)
  })

  it('count in what the API tells of all consumers, with the alerts as they come', async () => {
    const alone = await scene.consumer({ inference })
    const other = await scene.consumer({ inference, isAlone: false })
    api = await scene.api({ inference, consumers: [alone, other] })
    const { body } = await fetch(`${api.url}/api/v1/stream?only=alert`)
    const stream = body!.pipeThrough(new TextDecoderStream()).getReader()
    expect((await stream.read()).value).to.match(/^retry:/)
    await scene.send([{ key: 'x', value: 'no event' }])
    await scene.feed(2000)
    await scene.caughtUp()
    interface Told {
      readonly processes: object
      readonly lastHour: { readonly events: number; readonly rejected: number; readonly alerts: number }
    }
    await eventually(async () => {
      const told = (await (await fetch(`${api.url}/api/v1/overview`)).json()) as Told
      expect(told).to.deep.include({ source: scene.topics.source, keepsHistory: false, waiting: 0 })
      expect(told).to.deep.include({ processes: { consumer: 2 }, rejected: [{ reason: 'MalformedJson', count: 1 }] })
      expect(told.lastHour).to.include({ events: 2000, rejected: 1 })
      expect(told.lastHour.alerts).to.be.above(0)
    }, patience)
    expect((await stream.read()).value).to.match(/^event: alert\ndata: \{"eventId":"event-/)
    await stream.cancel()
    expect((await fetch(api.url)).status).to.equal(200)
  })

  it('are answered with 503 while the broker is away, and with a verdict when it is back', async () => {
    await scene.consumer({ inference })
    api = await scene.api({ inference })
    const { answers, stop } = ask()
    await eventually(() => expect(answers.size).to.be.greaterThan(100))
    await cluster.kafka.restart({ downMs: 8000 })
    await eventually(async () => expect(await api.probe('readyz')).to.include({ ok: true }), patience)
    await eventually(async () => expect((await detect(nth(1_000_000))).status).to.equal(200), patience)
    await stop()
    await scene.caughtUp()
    expectPublished(answers, await scene.expectExact())
    const refused = [...answers.values()].flat().filter(({ status }) => status !== 200)
    expect(refused.length).to.be.greaterThan(0)
    for (const { status, retryAfter } of refused) expect([status, retryAfter]).to.deep.equal([503, '1'])
  })
})

import { expect } from 'chai'
import type { KafkaRecord } from '../../lib/kafka/records.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { History } from '../history/history.ts'
import { type SourceEventsOptions, withSourceEvents } from './source-events.ts'

const at = Date.UTC(2024, 0, 1)
const pipeline = parsePipeline({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'test' },
  spec: { source: { brokers: ['localhost:9092'], topic: 'events' } },
})
const verdict = {
  ...{ eventId: 'e1', userId: 'u', timestamp: at, isAnomaly: false, anomalyScore: 0.5, threshold: 0.999, reasons: [] },
  ...{ confidence: 1, modelVersion: 'NONE', scores: {}, value: 7, partition: 3, offset: 5 },
} satisfies Verdict
const record = (value: string | Buffer | null, more: Partial<KafkaRecord> = {}): KafkaRecord => {
  const bytes = value === null ? null : Buffer.from(value)
  return { offset: 5, key: Buffer.from('u'), value: bytes, timestamp: at, headers: {}, ...more }
}
const body = `{ "eventId": "e1", "userId": "u", "timestamp": ${at}, "value": 7.0, "features": {"a": 1} }`

describe('Events of a history in a cluster', () => {
  function eventsOf(
    found: KafkaRecord | undefined | (() => Promise<KafkaRecord | undefined>),
    { judged = verdict, ...options }: Partial<SourceEventsOptions> & { readonly judged?: Partial<Verdict> } = {},
  ) {
    const history = { result: async (id: string) => (id === judged.eventId ? JSON.stringify(judged) : undefined) }
    const places: object[] = []
    const read: SourceEventsOptions['read'] = async (place) => {
      places.push(place)
      return typeof found === 'function' ? found() : found
    }
    const { event } = withSourceEvents(history as unknown as History, { pipeline, read, ...options })
    return { event, places, problem: async (id = 'e1') => event(id).then(String, (error) => error) }
  }

  it('are read from where their verdicts say that they stand, as they came', async () => {
    const { event, places } = eventsOf(record(body))
    expect(await event('e1')).to.equal(body)
    expect(places).to.deep.equal([{ partition: 3, offset: 5 }])
  })

  it('are found by the id that they got at the REST door, and by their place where they have none', async () => {
    const bare = `{"userId":"u","value":7}`
    const headers = { 'anomaly-verdict': Buffer.from('{"eventId":"api-1"}') }
    const byRest = eventsOf(record(bare, { headers }), { judged: { ...verdict, eventId: 'api-1', timestamp: at - 9 } })
    expect(await byRest.event('api-1')).to.equal(bare)
    const judged = { ...verdict, eventId: 'events-3-5' }
    expect(await eventsOf(record(bare), { judged }).event('events-3-5')).to.equal(bare)
    // Of a topic that was made anew.
    const other = eventsOf(record(bare, { timestamp: at + 1 }), { judged })
    expect(await other.problem('events-3-5')).to.include({ code: 'NotFound' })
  })

  for (const [what, found, judged, message] of [
    ['an event without a verdict', record(body), { ...verdict, eventId: 'other' }, /"e1" has no verdict/],
    ['a verdict of a former release', record(body), { ...verdict, offset: undefined }, /former release/],
    ['an event that retention has deleted', undefined, verdict, /no longer at offset 5 of partition 3 of events/],
    ['another event in its place', record(body.replace('e1', 'e2')), verdict, /Another event than "e1" is at offset 5/],
    ['an event of another key', record(body.replace('"u"', '"v"')), verdict, /Another event/],
    ['what is no JSON', record('{'), verdict, /cannot be read/],
    ['a tombstone', record(null), verdict, /cannot be read: the record has no value/],
  ] as const)
    it(`say why there is none: ${what}`, async () => {
      const error = await eventsOf(found, { judged }).problem()
      expect(error).to.include({ code: 'NotFound' })
      expect(error.message).to.match(message)
    })

  it('are decoded by the schema registry, whatever integers they have', async () => {
    const prepared: unknown[] = []
    const avro = Buffer.from([0, 0, 0, 0, 1, 2])
    const value = { eventId: 'e1', userId: 'u', timestamp: at, value: 7, long: 2n ** 60n }
    const schemaRegistry = {
      prepare: async (bodies: readonly unknown[]) => void prepared.push(...bodies),
      parse: () => ({ value }),
    }
    const { event } = eventsOf(record(avro), { schemaRegistry })
    expect(JSON.parse((await event('e1'))!)).to.deep.equal({ ...value, long: String(2n ** 60n) })
    expect(prepared).to.deep.equal([avro])
  })

  it('are not waited for longer than somebody does, nor read by any number at once', async () => {
    const { promise, resolve } = Promise.withResolvers<KafkaRecord>()
    const { problem, event } = eventsOf(() => promise, { timeoutMs: 5 })
    const problems = await Promise.all(Array.from({ length: 9 }, () => problem()))
    expect(problems.map(({ code }) => code)).to.deep.equal([...Array(8).fill('DeadlineExceeded'), 'Unavailable'])
    resolve(record(body))
    await promise
    expect(await event('e1')).to.equal(body)
  })
})

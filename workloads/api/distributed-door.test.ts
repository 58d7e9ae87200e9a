import { createSecretKey, hash } from 'node:crypto'
import { expect } from 'chai'
import { Registry } from 'prom-client'
import { AppError } from '../../lib/errors.ts'
import type { Delivery } from '../../lib/kafka/producer.ts'
import type { OutgoingRecord } from '../../lib/kafka/records.ts'
import { createMetrics } from '../../lib/metrics.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import type { DetectError, DetectOutcome, DetectOutcomeVerdict } from '../rest/door.ts'
import { eventBodies } from '../rest/stub-door.ts'
import type { RowBatch, Scorer } from '../scoring/scorer.ts'
import { createMemoryState } from '../state/memory.ts'
import type { StateStore } from '../state/state.ts'
import { createDistributedDoor } from './distributed-door.ts'

const signingKey = createSecretKey(Buffer.from('the signing key of all tests'))

interface Asked {
  readonly store?: StateStore
  readonly spec?: object
  readonly deadlineMs?: number
  /** Before rows are scored. */
  readonly score?: (batch: RowBatch) => void
  readonly deliver?: (records: readonly OutgoingRecord[]) => Promise<Delivery>
  /** What the topic says of events that may have been sent. */
  readonly found?: Readonly<Record<string, string>>
  /** What is wrong with Kafka. */
  readonly problem?: () => string | undefined
}

const newStore = () =>
  createMemoryState({ profileTtlSeconds: 60, featureTtlSeconds: 60, maxFeatures: 1000, now: Date.now })

/** A door over a store in memory, with a model that always learns and a broker that takes everything. */
function doorOf({ store = newStore(), spec = {}, deadlineMs = 5000, score, deliver, found = {}, problem }: Asked = {}) {
  const pipeline = parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'test' },
    spec: { source: { brokers: ['localhost:9092'] }, ...spec },
  })
  const calls: RowBatch[] = []
  const sent: OutgoingRecord[][] = []
  const suspicions: string[] = []
  const scorer: Scorer & { problem(): undefined } = {
    modelVersion: 'LEARNING',
    problem: () => undefined,
    async score(batch) {
      calls.push({ ...batch, rows: batch.rows.slice() })
      score?.(batch)
      const surprisals = [new Float64Array(batch.count).fill(Number.NaN)]
      return { modelVersionOf: () => 'LEARNING', surprisals, explanations: new Map() }
    },
  }
  const schema = new FeatureSchema()
  const door = createDistributedDoor({
    pipeline,
    store,
    scorer,
    topic: {
      partitions: () => 4,
      endOf: (partition) => ({ partition, offset: 0 }),
      problem: problem ?? (() => undefined),
      suspect: (reason) => suspicions.push(reason),
    },
    names: {
      schema,
      async extend(names) {
        for (const name of names) schema.append(name)
      },
    },
    publishing: {
      signingKey,
      publisher: {
        async deliver(records) {
          const delivery = (await deliver?.(records)) ?? { outcome: 'Sent' }
          if (delivery.outcome === 'Sent') sent.push([...records])
          return delivery
        },
      },
      sent: { find: async () => new Map(Object.entries(found)) },
    },
    metrics: createMetrics(new Registry()),
    wall: Date.now,
    clock: () => performance.now(),
    deadlineMs,
  })
  const detect = (events: readonly unknown[]) => door.detect(eventBodies(...events))
  return { door: { detect, detectBodies: door.detect }, calls, sent, suspicions, store }
}

const eventOf = (eventId: string, userId = 'alice', more: object = {}) => ({ eventId, userId, value: 1, ...more })
const idsOf = (outcomes: readonly DetectOutcome[]) =>
  outcomes.map((outcome) => {
    if (outcome.kind === 'failed') return outcome.error
    return outcome.kind === 'verdict' ? JSON.parse(outcome.json).eventId : outcome.reason
  })
const idsSent = (sent: readonly (readonly OutgoingRecord[])[]) =>
  sent.flat().map(({ value }) => JSON.parse(String(value)).eventId)
/** What a caller is told of one event that is not answered. */
const failedOf = ([outcome]: readonly DetectOutcome[]) => {
  if (outcome?.kind !== 'failed') expect.fail('it should have failed')
  const { code, message, stored } = outcome.error as DetectError
  return { code, message, stored }
}
const claimed = (event: object, fingerprint?: string) => ({
  eventId: (event as { eventId: string }).eventId,
  fingerprint: fingerprint ?? hash('sha256', JSON.stringify(event), 'base64url').slice(0, 22),
  place: { partition: 0, offset: 0 },
})
const failureOf = (work: Promise<unknown>): Promise<AppError> =>
  work.then(
    () => expect.fail('it should have failed'),
    (error) => error,
  )

describe('The door of many processes', () => {
  it('answers each event in its place, whatever becomes of the others', async () => {
    const { door, sent } = doorOf()
    const bodies = [eventOf('a'), 7, eventOf('b', 'bob'), { eventId: 'c' }, eventOf('d')]
    expect(idsOf(await door.detect([...bodies]))).to.deep.equal(['a', 'NotAnObject', 'b', 'MissingKey', 'd'])
    expect(idsSent(sent)).to.have.members(['a', 'b', 'd'])
  })

  it('answers all events but those that judging fails on for a reason not foreseen', async () => {
    const values = (batch: RowBatch) => {
      const at = batch.columns.indexOf('value')
      return Array.from({ length: batch.count }, (_, row) => batch.rows[row * batch.columns.length + at]!)
    }
    const { door, sent } = doorOf({
      spec: { detection: { onModelUnavailable: 'Wait' } },
      score: (batch) => {
        if (values(batch).some((value) => value === 666)) throw new TypeError('cannot score')
      },
    })
    const events = Array.from({ length: 40 }, (_, i) => eventOf(`e${i}`, `user-${i % 7}`, { value: 600 + 3 * i }))
    const outcomes = await door.detect(events)
    const failed = outcomes.flatMap((outcome, i) => (outcome.kind === 'failed' ? [[i, String(outcome.error)]] : []))
    expect(failed).to.deep.equal([[22, 'TypeError: cannot score']])
    expect(idsSent(sent)).to.have.members(events.filter((_, i) => i !== 22).map(({ eventId }) => eventId))
  })

  it('makes one call to the model of all requests that come together, whatever their partitions', async () => {
    const { door, calls } = doorOf()
    await Promise.all(Array.from({ length: 50 }, (_, i) => door.detect([eventOf(`a-${i}`, `user-${i}`)])))
    expect(calls.map(({ count }) => count)).to.deep.equal([50])
  })

  it('reads the states of all keys in one call, whatever their partitions, and degrades where it cannot', async () => {
    const inner = newStore()
    const reads: (readonly [partition: number, keys: readonly string[]])[][] = []
    let isAway = false
    const partitions: StateStore['partitions'] = {
      ...inner.partitions,
      async loadKeysOf(wanted) {
        if (isAway) throw new AppError('Unavailable', 'Redis is away')
        reads.push([...wanted])
        return inner.partitions.loadKeysOf(wanted)
      },
    }
    const { door } = doorOf({ store: { ...inner, partitions } })
    const ask = (round: string) =>
      Promise.all(Array.from({ length: 40 }, (_, i) => door.detect([eventOf(`${round}-${i}`, `user-${i % 20}`)])))
    await ask('a')
    expect(reads).to.have.length(1)
    expect(new Set(reads[0]!.map(([partition]) => partition))).to.deep.equal(new Set([0, 1, 2, 3]))
    expect(reads[0]!.flatMap(([, keys]) => keys)).to.have.length(20)
    isAway = true
    const degraded = (await ask('b')).map(
      ([outcome]) => outcome!.kind === 'verdict' && JSON.parse(outcome!.json).degraded,
    )
    expect(new Set(degraded)).to.deep.equal(new Set(['StateUnavailable']))
  })

  it('keeps the order of the events of a key', async () => {
    const { door, sent } = doorOf()
    const ids = Array.from({ length: 3000 }, (_, i) => `e-${i}`)
    await door.detect([...ids.map((id) => eventOf(id))])
    expect(idsSent(sent)).to.deep.equal(ids)
  })

  it('answers the same event at the same time once, and tells the others that it is replayed', async () => {
    const { door, sent } = doorOf()
    const outcomes = await door.detect([eventOf('a'), eventOf('a'), eventOf('a')])
    expect(outcomes.map((outcome) => outcome.kind === 'verdict' && outcome.replayed)).to.deep.equal([false, true, true])
    expect(new Set(outcomes.map((outcome) => outcome.kind === 'verdict' && outcome.json)).size).to.equal(1)
    expect(idsSent(sent)).to.deep.equal(['a'])
  })

  it('refuses an id that comes with another body, at once and later, and sends only the first', async () => {
    const { door, sent } = doorOf()
    const outcomes = await door.detect([eventOf('a'), eventOf('a', 'bob'), eventOf('a')])
    expect(idsOf(outcomes)).to.deep.equal(['a', 'EventIdReused', 'a'])
    expect(idsOf(await door.detect([eventOf('a', 'alice', { value: 2 })]))).to.deep.equal(['EventIdReused'])
    expect(idsOf(await door.detect([eventOf('a')]))).to.deep.equal(['a'])
    expect(idsSent(sent)).to.deep.equal(['a'])
  })

  it('takes an event that is written otherwise for the same, at once and later', async () => {
    const { door, sent } = doorOf()
    const written = [
      '{"eventId":"a","userId":9007199254740993,"value":1}',
      '{ "value":1.0, "userId":9007199254740993,"eventId":"a"}',
    ]
    const bodies = written.map((text) => ({ text, value: JSON.parse(text) }))
    expect(idsOf(await door.detectBodies(bodies))).to.deep.equal(['a', 'a'])
    expect(idsOf(await door.detectBodies(bodies.toReversed()))).to.deep.equal(['a', 'a'])
    const other = written[0]!.replace('993', '992')
    expect(idsOf(await door.detectBodies([{ text: other, value: JSON.parse(other) }]))).to.deep.equal(['EventIdReused'])
    expect(idsSent(sent)).to.deep.equal(['a'])
  })

  it('replays a verdict that an earlier release stored, whatever the body', async () => {
    const { door, store } = doorOf()
    await store.results.put([{ eventId: 'a', json: '{"eventId":"a"}' }], 60)
    expect(await door.detect([eventOf('a')])).to.deep.equal([
      { kind: 'verdict', json: '{"eventId":"a"}', replayed: true },
    ])
  })

  it('waits for the verdict of an event that another process has claimed', async () => {
    const { door, store, sent } = doorOf()
    await store.results.claim([claimed(eventOf('a'))], 30)
    const asked = door.detect([eventOf('a')])
    setTimeout(() => store.results.put([{ eventId: 'a', json: '{"eventId":"a"}' }], 60), 60)
    expect(await asked).to.deep.equal([{ kind: 'verdict', json: '{"eventId":"a"}', replayed: true }])
    expect(sent).to.deep.equal([])
  })

  it('takes over an event that another process has given up', async () => {
    const { door, store, sent } = doorOf()
    await store.results.claim([claimed(eventOf('a'))], 30)
    const asked = door.detect([eventOf('a')])
    setTimeout(() => store.results.release(['a']), 60)
    expect(idsOf(await asked)).to.deep.equal(['a'])
    expect(idsSent(sent)).to.deep.equal(['a'])
  })

  it('asks the caller to try again where another process keeps an event for too long', async () => {
    const { door, store } = doorOf({ deadlineMs: 80 })
    await store.results.claim([claimed(eventOf('a'))], 30)
    expect(failedOf(await door.detect([eventOf('a')]))).to.include({ code: 'Unavailable', stored: 'Unknown' })
  })

  it('keeps nothing of an event that was not sent, says so, and tells that Kafka is suspect', async () => {
    let isAway = true
    const error = new AppError('DeadlineExceeded', 'Cannot send to Kafka: no answer')
    const deliver = async (): Promise<Delivery> => (isAway ? { outcome: 'NotSent', error } : { outcome: 'Sent' })
    const { door, store, suspicions, sent } = doorOf({ deliver })
    expect(failedOf(await door.detect([eventOf('a')]))).to.include({ code: 'Unavailable', stored: 'Nothing' })
    expect(suspicions).to.deep.equal(['Cannot send to Kafka: no answer'])
    expect(await store.results.get('a')).to.equal(undefined)
    isAway = false
    const [outcome] = await door.detect([eventOf('a')])
    expect(outcome).to.include({ kind: 'verdict', replayed: false })
    expect(idsSent(sent)).to.deep.equal(['a'])
  })

  it('says that nothing is stored while Kafka is away only of an id that nobody had before', async () => {
    const store = newStore()
    await store.results.claim([claimed(eventOf('sent by another'))], 30)
    await doorOf({ store }).door.detect([eventOf('answered')])
    const { door, sent } = doorOf({ store, deadlineMs: 80, problem: () => 'Kafka: not connected yet' })
    expect(failedOf(await door.detect([eventOf('new')]))).to.include({ code: 'Unavailable', stored: 'Nothing' })
    expect(failedOf(await door.detect([eventOf('sent by another')]))).to.include({ stored: 'Unknown' })
    expect(await door.detect([eventOf('answered')])).to.have.nested.property('[0].replayed', true)
    expect(sent).to.deep.equal([])
  })

  it('never says that nothing is stored of an id that cannot be looked up', async () => {
    const away = async (): Promise<never> => {
      throw new AppError('Unavailable', 'Redis is away')
    }
    const inner = newStore()
    const store = { ...inner, results: { ...inner.results, claim: away } }
    const error = new AppError('DeadlineExceeded', 'Cannot send to Kafka: no answer')
    const { door } = doorOf({ store, deliver: async () => ({ outcome: 'NotSent', error }) })
    expect(failedOf(await door.detect([eventOf('a')]))).to.include({ stored: 'Unknown' })
    const { door: unnamed } = doorOf({
      store,
      spec: { event: { id: '' } },
      deliver: async () => ({ outcome: 'NotSent', error }),
    })
    expect(failedOf(await unnamed.detect([eventOf('a')]))).to.include({ stored: 'Nothing' })
  })

  it('keeps the id of an event whose sending takes longer than its caller waits, and answers the next with what came of it', async () => {
    const { promise, resolve } = Promise.withResolvers<Delivery>()
    let asked = 0
    const deliver = () => {
      asked++
      return promise
    }
    const { door, store, sent } = doorOf({ deadlineMs: 60, deliver })
    expect(failedOf(await door.detect([eventOf('a')]))).to.include({ code: 'Unavailable', stored: 'Unknown' })
    expect(failedOf(await door.detect([eventOf('a')]))).to.include({ code: 'Unavailable', stored: 'Unknown' })
    expect(idsOf(await door.detect([eventOf('a', 'bob')]))).to.deep.equal(['EventIdReused'])
    const again = door.detect([eventOf('a')])
    resolve({ outcome: 'Sent' })
    const [outcome] = await again
    expect(outcome).to.include({ kind: 'verdict', replayed: true })
    expect([asked, idsSent(sent)]).to.deep.equal([1, ['a']])
    expect(await store.results.get('a')).to.equal((outcome as DetectOutcomeVerdict).json)
  })

  it('never sends an event whose caller was told that nothing is stored', async () => {
    const inner = newStore()
    const { promise, resolve } = Promise.withResolvers<void>()
    const partitions: StateStore['partitions'] = {
      ...inner.partitions,
      loadKeysOf: async (wanted) => {
        await promise
        return inner.partitions.loadKeysOf(wanted)
      },
    }
    const { door, sent } = doorOf({ deadlineMs: 60, store: { ...inner, partitions } })
    expect(failedOf(await door.detect([eventOf('a')]))).to.include({ code: 'Unavailable', stored: 'Nothing' })
    resolve()
    expect(idsOf(await door.detect([eventOf('b')]))).to.deep.equal(['b'])
    expect(idsSent(sent)).to.deep.equal(['b'])
  })

  it('looks in the topic for what may have been sent: found, it is answered; not found, it is sent again', async () => {
    const error = new AppError('Unavailable', 'the connection broke')
    const lost = (records: readonly OutgoingRecord[]) => idsSent([records]).some((id) => id.startsWith('lost'))
    const deliver = async (records: readonly OutgoingRecord[]): Promise<Delivery> =>
      lost(records) ? { outcome: 'Unknown', error } : { outcome: 'Sent' }
    const json = '{"eventId":"lost-1","isAnomaly":false}'
    const { door, sent, store } = doorOf({ deliver, found: { 'lost-1': json } })
    const outcomes = await door.detect([eventOf('lost-1'), eventOf('lost-2')])
    expect(outcomes[0]).to.deep.equal({ kind: 'verdict', json, replayed: false })
    expect(failedOf(outcomes.slice(1))).to.include({ stored: 'Nothing' })
    expect(await store.results.get('lost-1')).to.equal(json)
    expect(sent).to.deep.equal([])
  })

  it('looks in the topic for an event that a process had which is gone, before it judges it', async () => {
    const inner = newStore()
    const results: StateStore['results'] = {
      ...inner.results,
      claim: async (events) => events.map(() => ({ type: 'Abandoned', place: { partition: 0, offset: 7 } })),
    }
    const json = '{"eventId":"a","isAnomaly":true}'
    const { door, sent } = doorOf({ store: { ...inner, results }, found: { a: json } })
    const outcomes = await door.detect([eventOf('a'), eventOf('b')])
    expect(outcomes[0]).to.include({ kind: 'verdict', json })
    expect(idsOf(outcomes)).to.deep.equal(['a', 'b'])
    expect(idsSent(sent)).to.deep.equal(['b'])
  })

  it('answers a repetition also while the store is away', async () => {
    const away = async (): Promise<never> => {
      throw new AppError('Unavailable', 'Redis is away')
    }
    const inner = newStore()
    const { door, sent } = doorOf({ store: { ...inner, results: { ...inner.results, claim: away, put: away } } })
    expect(idsOf(await door.detect([eventOf('a'), eventOf('a')]))).to.deep.equal(['a', 'a'])
    expect(await door.detect([eventOf('a')])).to.have.nested.property('[0].replayed', true)
    expect(idsSent(sent)).to.deep.equal(['a'])
  })

  it('publishes events as they came, and takes ids and keys as they are written', async () => {
    const { door, sent } = doorOf()
    const texts = [
      '{"eventId":1524831183200260097, "userId":738529527931269425}',
      '{"eventId":1524831183200260101,"userId":738529527931269391}',
    ]
    const outcomes = await door.detectBodies(texts.map((text) => ({ text, value: JSON.parse(text) })))
    expect(idsOf(outcomes)).to.deep.equal(['1524831183200260097', '1524831183200260101'])
    const published = sent.flat().map(({ key, value }) => [key, String(value)])
    expect(published).to.have.deep.members([
      ['738529527931269425', texts[0]],
      ['738529527931269391', texts[1]],
    ])
  })

  it('judges or refuses an event that is nested deeply, and the others as ever', async () => {
    const { door } = doorOf()
    const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
    const texts = [
      '{"eventId":"a","userId":"u"}',
      `{"eventId":"b","userId":"u","value":${deep}}`,
      `{"eventId":"c","userId":"u","note":${deep}}`,
      '{"eventId":"d","userId":"u"}',
    ]
    const outcomes = await door.detectBodies(texts.map((text) => ({ text, value: JSON.parse(text) })))
    expect(idsOf(outcomes)).to.deep.equal(['a', 'InvalidValue', 'c', 'd'])
  })

  it('refuses only the event that the topic does not take', async () => {
    const deliver = async (records: readonly OutgoingRecord[]): Promise<Delivery> => {
      if (records.every(({ value }) => value!.length < 5000)) return { outcome: 'Sent' }
      const cause = Object.assign(new Error('too large'), { type: 'MESSAGE_TOO_LARGE' })
      return { outcome: 'Unknown', error: new AppError('Unavailable', 'Cannot send to Kafka: too large', { cause }) }
    }
    const { door, store, suspicions } = doorOf({ deliver })
    const outcomes = await door.detect([eventOf('a'), eventOf('b', 'alice', { note: 'x'.repeat(6000) }), eventOf('c')])
    expect(idsOf(outcomes)).to.deep.equal(['a', 'TooLarge', 'c'])
    expect(suspicions).to.deep.equal([])
    expect(await store.results.claim([claimed({ eventId: 'b' })], 1)).to.deep.equal([{ type: 'Claimed' }])
  })

  it('sends at most 256 KiB at once', async () => {
    const { door, sent } = doorOf()
    await door.detect([
      ...Array.from({ length: 100 }, (_, i) => eventOf(`e-${i}`, 'alice', { note: 'x'.repeat(10_000) })),
    ])
    expect(sent.map((records) => records.length)).to.deep.equal([24, 24, 24, 24, 4])
  })

  it('turns events away where too many are under way', async () => {
    const { door } = doorOf()
    const many = door.detect([...Array.from({ length: 20_000 }, (_, i) => eventOf(`e-${i}`))])
    expect((await failureOf(door.detect([eventOf('one more')]))).code).to.equal('Unavailable')
    expect(await many).to.have.length(20_000)
    expect(idsOf(await door.detect([eventOf('one more')]))).to.deep.equal(['one more'])
  })

  it('gives an id to an event without one, each time another', async () => {
    const { door, store, sent } = doorOf({ spec: { event: { id: '' } } })
    const ids = idsOf(await door.detect([eventOf('a'), eventOf('a')]))
    expect(new Set(ids).size).to.equal(2)
    for (const id of ids) expect(id).to.match(/^api-/)
    expect(sent.flat().map(({ headers }) => headers?.['anomaly-event-id'])).to.deep.equal(ids)
    expect(JSON.parse((await store.results.get(ids[1]))!).eventId).to.equal(ids[1])
  })

  it('judges by the features that a key had last where an event has none at all', async () => {
    const { door, store, calls } = doorOf()
    const { epoch } = await store.partitions.take(0)
    await store.partitions.flush(0, epoch, {
      keys: new Map(),
      features: new Map([['alice', '{"amount":7,"items":2}']]),
    })
    await door.detect([eventOf('a', 'alice'), eventOf('b', 'alice', { features: { items: 3 } }), eventOf('c', 'bob')])
    const [{ columns, rows, count }] = calls as [RowBatch]
    const amount = columns.indexOf('amount')
    const amounts = Array.from({ length: count }, (_, i) => rows[i * columns.length + amount]!)
    expect(amounts.toSorted()).to.deep.equal([7, Number.NaN, Number.NaN])
  })
})

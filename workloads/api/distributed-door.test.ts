import { createSecretKey } from 'node:crypto'
import { expect } from 'chai'
import { Registry } from 'prom-client'
import { AppError } from '../../lib/errors.ts'
import type { OutgoingRecord } from '../../lib/kafka/records.ts'
import { createMetrics } from '../../lib/metrics.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import type { DetectOutcome } from '../rest/door.ts'
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
  readonly send?: (records: readonly OutgoingRecord[]) => Promise<void>
}

const newStore = () =>
  createMemoryState({ profileTtlSeconds: 60, featureTtlSeconds: 60, maxFeatures: 1000, now: Date.now })

/** A door over a store in memory, with a model that always learns and a broker that takes everything. */
function doorOf({ store = newStore(), spec = {}, deadlineMs = 5000, send = async () => {} }: Asked = {}) {
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
      const surprisals = [new Float64Array(batch.count).fill(Number.NaN)]
      return { modelVersionOf: () => 'LEARNING', surprisals, explanations: new Map() }
    },
  }
  const schema = new FeatureSchema()
  const door = createDistributedDoor({
    pipeline,
    store,
    scorer,
    topic: { partitions: () => 4, problem: () => undefined, suspect: (reason) => suspicions.push(reason) },
    names: {
      schema,
      async extend(names) {
        for (const name of names) schema.append(name)
      },
    },
    publishing: {
      signingKey,
      publisher: {
        async send(records) {
          await send(records)
          sent.push([...records])
        },
      },
    },
    metrics: createMetrics(new Registry()),
    wall: Date.now,
    clock: () => performance.now(),
    deadlineMs,
  })
  return { door, calls, sent, suspicions, store }
}

const eventOf = (eventId: string, userId = 'alice', more: object = {}) => ({ eventId, userId, value: 1, ...more })
const idsOf = (outcomes: readonly DetectOutcome[]) =>
  outcomes.map((outcome) => (outcome.kind === 'verdict' ? JSON.parse(outcome.json).eventId : outcome.reason))
const idsSent = (sent: readonly (readonly OutgoingRecord[])[]) =>
  sent.flat().map(({ value }) => JSON.parse(String(value)).eventId)
const failureOf = (work: Promise<unknown>): Promise<AppError> =>
  work.then(
    () => expect.fail('it should have failed'),
    (error) => error,
  )

describe('The door of many processes', () => {
  it('answers each event in its place, whatever becomes of the others', async () => {
    const { door, sent } = doorOf()
    const bodies = [eventOf('a'), 7, eventOf('b', 'bob'), { eventId: 'c' }, eventOf('d')]
    expect(idsOf(await door.detect(eventBodies(...bodies)))).to.deep.equal(['a', 'NotAnObject', 'b', 'MissingKey', 'd'])
    expect(idsSent(sent)).to.have.members(['a', 'b', 'd'])
  })

  it('makes one call to the model of all requests that come together, whatever their partitions', async () => {
    const { door, calls } = doorOf()
    await Promise.all(Array.from({ length: 50 }, (_, i) => door.detect(eventBodies(eventOf(`a-${i}`, `user-${i}`)))))
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
      Promise.all(
        Array.from({ length: 40 }, (_, i) => door.detect(eventBodies(eventOf(`${round}-${i}`, `user-${i % 20}`)))),
      )
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
    await door.detect(eventBodies(...ids.map((id) => eventOf(id))))
    expect(idsSent(sent)).to.deep.equal(ids)
  })

  it('answers the same event at the same time once, and tells the others that it is replayed', async () => {
    const { door, sent } = doorOf()
    const outcomes = await door.detect(eventBodies(eventOf('a'), eventOf('a', 'bob'), eventOf('a')))
    expect(outcomes.map((outcome) => outcome.kind === 'verdict' && outcome.replayed)).to.deep.equal([false, true, true])
    expect(new Set(outcomes.map((outcome) => outcome.kind === 'verdict' && outcome.json)).size).to.equal(1)
    expect(idsSent(sent)).to.deep.equal(['a'])
  })

  it('waits for the verdict of an event that another process has claimed', async () => {
    const { door, store, sent } = doorOf()
    await store.results.claim(['a'], 30)
    const asked = door.detect(eventBodies(eventOf('a')))
    setTimeout(() => store.results.put(new Map([['a', '{"eventId":"a"}']]), 60), 60)
    expect(await asked).to.deep.equal([{ kind: 'verdict', json: '{"eventId":"a"}', replayed: true }])
    expect(sent).to.deep.equal([])
  })

  it('takes over an event that another process has given up', async () => {
    const { door, store, sent } = doorOf()
    await store.results.claim(['a'], 30)
    const asked = door.detect(eventBodies(eventOf('a')))
    setTimeout(() => store.results.release(['a']), 60)
    expect(idsOf(await asked)).to.deep.equal(['a'])
    expect(idsSent(sent)).to.deep.equal(['a'])
  })

  it('asks the caller to try again where another process keeps an event for too long', async () => {
    const { door, store } = doorOf({ deadlineMs: 80 })
    await store.results.claim(['a'], 30)
    const failure = await failureOf(door.detect(eventBodies(eventOf('a'))))
    expect([failure.code, failure.message]).to.deep.equal([
      'Unavailable',
      'There was no answer within 0.08 s; try again',
    ])
  })

  it('keeps nothing of an event that could not be sent, and tells that Kafka is suspect', async () => {
    let isAway = true
    const send = async () => {
      if (isAway) throw new AppError('DeadlineExceeded', 'Cannot send to Kafka: no answer')
    }
    const { door, store, suspicions, sent } = doorOf({ send })
    expect((await failureOf(door.detect(eventBodies(eventOf('a'))))).code).to.equal('Unavailable')
    expect(suspicions).to.deep.equal(['Cannot send to Kafka: no answer'])
    expect(await store.results.get('a')).to.equal(undefined)
    isAway = false
    const [outcome] = await door.detect(eventBodies(eventOf('a')))
    expect(outcome).to.include({ kind: 'verdict', replayed: false })
    expect(idsSent(sent)).to.deep.equal(['a'])
  })

  it('publishes events as they came, and takes ids and keys as they are written', async () => {
    const { door, sent } = doorOf()
    const texts = [
      '{"eventId":1524831183200260097, "userId":738529527931269425}',
      '{"eventId":1524831183200260101,"userId":738529527931269391}',
    ]
    const outcomes = await door.detect(texts.map((text) => ({ text, value: JSON.parse(text) })))
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
    const outcomes = await door.detect(texts.map((text) => ({ text, value: JSON.parse(text) })))
    expect(idsOf(outcomes)).to.deep.equal(['a', 'InvalidValue', 'c', 'd'])
  })

  it('refuses only the event that the topic does not take', async () => {
    const send = async (records: readonly OutgoingRecord[]) => {
      if (records.every(({ value }) => value!.length < 5000)) return
      const cause = Object.assign(new Error('too large'), { type: 'MESSAGE_TOO_LARGE' })
      throw new AppError('Unavailable', 'Cannot send to Kafka: too large', { cause })
    }
    const { door, store, suspicions } = doorOf({ send })
    const outcomes = await door.detect(
      eventBodies(eventOf('a'), eventOf('b', 'alice', { note: 'x'.repeat(6000) }), eventOf('c')),
    )
    expect(idsOf(outcomes)).to.deep.equal(['a', 'TooLarge', 'c'])
    expect(suspicions).to.deep.equal([])
    expect(await store.results.claim(['b'], 1)).to.deep.equal([{ type: 'Claimed' }])
  })

  it('sends at most 256 KiB at once', async () => {
    const { door, sent } = doorOf()
    await door.detect(
      eventBodies(...Array.from({ length: 100 }, (_, i) => eventOf(`e-${i}`, 'alice', { note: 'x'.repeat(10_000) }))),
    )
    expect(sent.map((records) => records.length)).to.deep.equal([24, 24, 24, 24, 4])
  })

  it('turns events away where too many are under way', async () => {
    const { door } = doorOf()
    const many = door.detect(eventBodies(...Array.from({ length: 20_000 }, (_, i) => eventOf(`e-${i}`))))
    expect((await failureOf(door.detect(eventBodies(eventOf('one more'))))).code).to.equal('Unavailable')
    expect(await many).to.have.length(20_000)
    expect(idsOf(await door.detect(eventBodies(eventOf('one more'))))).to.deep.equal(['one more'])
  })

  it('gives an id to an event without one, each time another', async () => {
    const { door, store, sent } = doorOf({ spec: { event: { id: '' } } })
    const ids = idsOf(await door.detect(eventBodies(eventOf('a'), eventOf('a'))))
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
    await door.detect(
      eventBodies(eventOf('a', 'alice'), eventOf('b', 'alice', { features: { items: 3 } }), eventOf('c', 'bob')),
    )
    const [{ columns, rows, count }] = calls as [RowBatch]
    const amount = columns.indexOf('amount')
    const amounts = Array.from({ length: count }, (_, i) => rows[i * columns.length + amount]!)
    expect(amounts.toSorted()).to.deep.equal([7, Number.NaN, Number.NaN])
  })
})

import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Verdict } from '../detection/verdict.ts'
import { createLocalPipeline, type LocalPipeline } from '../judging/local-pipeline.ts'
import type { DetectOutcome, DetectOutcomeVerdict } from '../rest/door.ts'
import { eventBodies } from '../rest/stub-door.ts'
import { futureTolerance } from '../wire/decode.ts'
import { createLocalDoor, type LocalDoor, type LocalDoorOptions } from './local-door.ts'

const now = Date.UTC(2024, 5, 1)
const seedEvent = {
  eventId: 'test-123',
  timestamp: 1640000000,
  userId: 'user-456',
  value: 125.5,
  features: { feature1: 10.5, feature2: 20.3 },
}

describe('createLocalDoor()', () => {
  let local: LocalPipeline
  let door: LocalDoor
  let running: Promise<void> | undefined

  /** A door before a pipeline that calls values above 100 anomalies. */
  function open(options: LocalDoorOptions = {}, event: object = {}, detection: object = {}): void {
    const pipeline = parsePipeline({
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata: { name: 'threshold' },
      spec: {
        source: { brokers: ['localhost:9092'] },
        event,
        detection: { rules: [{ name: 'limit', field: 'value', above: '100' }], ...detection },
      },
    })
    door = createLocalDoor(pipeline, () => local, options)
    let time = 0
    local = createLocalPipeline({
      pipeline,
      seed: 1,
      fitting: 'Inline',
      clocks: { wall: () => now, monotonic: () => (time += 2) },
      observer: (processed) => door.observe(processed),
    })
  }

  function start(): void {
    running = local.run()
  }

  afterEach(async () => {
    local.stream.end()
    await running?.catch(() => {})
    running = undefined
  })

  const verdictOf = (outcome: DetectOutcome | undefined): Verdict & { inferenceTimeMs: number } =>
    JSON.parse((outcome as DetectOutcomeVerdict).json)

  it('takes ids for the same only where they are written alike', async () => {
    open()
    start()
    const bodyOf = (text: string) => [{ text, value: JSON.parse(text) }]
    const ids = ['1524831183200260097', '1524831183200260101', '1524831183200260097']
    const outcomes: DetectOutcome[] = []
    for (const id of ids) outcomes.push(...(await door.detect(bodyOf(`{"eventId":${id},"userId":${id}}`))))
    expect(outcomes.map((outcome) => verdictOf(outcome).userId)).to.deep.equal(ids)
    expect(outcomes.map((outcome) => (outcome as DetectOutcomeVerdict).replayed)).to.deep.equal([false, false, true])
  })

  it('answers with the verdict that the event gets in the stream', async () => {
    open()
    start()
    const [outcome] = await door.detect(eventBodies(seedEvent))
    expect(outcome).to.include({ kind: 'verdict', replayed: false })
    const verdict = verdictOf(outcome)
    expect(verdict).to.deep.include({
      eventId: 'test-123',
      userId: 'user-456',
      timestamp: 1640000000000,
      isAnomaly: true,
      confidence: 1,
      inferenceTimeMs: 2,
    })
    expect(verdict.reasons[0]).to.include({ detector: 'rule', rule: 'limit', observed: 125.5, expected: 100 })
    expect(await door.result('test-123')).to.equal((outcome as DetectOutcomeVerdict).json)
  })

  it('gives a second call the first verdict, and learns nothing from it', async () => {
    open()
    start()
    const [first] = await door.detect(eventBodies(seedEvent))
    const [second] = await door.detect(eventBodies(seedEvent))
    expect(second).to.deep.equal({ ...first, replayed: true })
    const [other] = await door.detect(eventBodies({ ...seedEvent, eventId: 'other', value: 1 }))
    expect(verdictOf(other)).to.deep.include({ eventId: 'other', isAnomaly: false })
    expect(verdictOf(other).confidence).to.be.closeTo((1 / 11) * 0.5, 1e-6)
  })

  it('gives calls that come while the first is under way its verdict too', async () => {
    open()
    const turned = Object.fromEntries(Object.entries(seedEvent).reverse())
    const calls = [seedEvent, turned, seedEvent].map((body) => door.detect(eventBodies(body)))
    expect(local.stream.waiting).to.equal(1)
    start()
    const [first, ...others] = (await Promise.all(calls)).flat()
    expect(first).to.have.property('replayed', false)
    for (const other of others) expect(other).to.deep.equal({ ...first, replayed: true })
  })

  it('refuses an id that comes with another body, while the first is under way and later', async () => {
    open()
    const other = { ...seedEvent, value: 1 }
    const calls = [seedEvent, other].map((body) => door.detect(eventBodies(body)))
    start()
    const [first, second] = (await Promise.all(calls)).flat()
    expect(first).to.have.property('replayed', false)
    expect(second).to.include({ kind: 'rejected', reason: 'EventIdReused' })
    expect((await door.detect(eventBodies(other)))[0]).to.include({ reason: 'EventIdReused' })
    expect((await door.detect(eventBodies(seedEvent)))[0]).to.deep.equal({ ...first, replayed: true })
  })

  it('lets an event be sent again that could not be read the first time', async () => {
    open()
    start()
    const [refused] = await door.detect(eventBodies({ ...seedEvent, value: 'high' }))
    expect(refused).to.include({ kind: 'rejected', reason: 'InvalidValue', field: 'value' })
    expect(await door.result('test-123')).to.equal(undefined)
    const [accepted] = await door.detect(eventBodies(seedEvent))
    expect(accepted).to.include({ kind: 'verdict', replayed: false })
  })

  it('finds the id where the pipeline says that it is', async () => {
    open({}, { id: 'meta.id' })
    start()
    const body = { ...seedEvent, meta: { id: 7 } }
    const outcomes = [...(await door.detect(eventBodies(body))), ...(await door.detect(eventBodies(body)))]
    expect(
      outcomes.map((outcome) => [verdictOf(outcome).eventId, 'replayed' in outcome && outcome.replayed]),
    ).to.deep.equal([
      ['7', false],
      ['7', true],
    ])
  })

  it('takes events without an id for different ones', async () => {
    open()
    start()
    const { eventId: _, ...unnamed } = seedEvent
    const outcomes = await door.detect(eventBodies(unnamed, unnamed))
    expect(outcomes.map((outcome) => verdictOf(outcome).eventId)).to.deep.equal(['api:row-1', 'api:row-2'])
  })

  it('answers each event of a batch in order', async () => {
    open()
    start()
    const { features: _, ...withoutFeatures } = { ...seedEvent, eventId: 'b' }
    const outcomes = await door.detect(
      eventBodies(seedEvent, 7, withoutFeatures, { ...seedEvent, eventId: 'x'.repeat(257) }),
    )
    expect(
      outcomes.map((outcome) => ('reason' in outcome ? outcome.reason : verdictOf(outcome).eventId)),
    ).to.deep.equal(['test-123', 'NotAnObject', 'b', 'InvalidId'])
  })

  const unreadable: readonly (readonly [what: string, change: object, reason: string, field: string])[] = [
    ['no key', { userId: undefined }, 'MissingKey', 'userId'],
    ['a long id', { eventId: 'x'.repeat(257) }, 'InvalidId', 'eventId'],
    ['an infinite number', { value: Number.POSITIVE_INFINITY }, 'InvalidValue', 'value'],
    ['words for a number', { features: { a: 'high' } }, 'InvalidFeature', 'features.a'],
    ['a time in the far future', { timestamp: now + futureTolerance + 1 }, 'InvalidTime', 'timestamp'],
    [
      'more features than a pipeline may have',
      { features: Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`f${i}`, i])) },
      'TooManyFeatures',
      'features',
    ],
  ]
  for (const [what, change, reason, field] of unreadable)
    it(`refuses ${what}, and names the field`, async () => {
      open()
      start()
      const [outcome] = await door.detect(eventBodies({ ...seedEvent, ...change }))
      expect(outcome).to.include({ kind: 'rejected', reason, field })
    })

  it('keeps a bounded number of verdicts, the latest', async () => {
    open({ maxResults: 3 })
    start()
    for (const eventId of ['a', 'b', 'c', 'd']) await door.detect(eventBodies({ ...seedEvent, eventId }))
    const kept = await Promise.all(['a', 'b', 'c', 'd'].map((eventId) => door.result(eventId)))
    expect(kept.map((json) => json !== undefined)).to.deep.equal([false, true, true, true])
  })

  it('keeps the anomalies among events that came by other ways', async () => {
    open()
    const row = { key: null, value: null, timestamp: Number.NaN, source: 'events.jsonl', line: 1 }
    local.stream.append({ ...row, row: 1, body: { ...seedEvent, eventId: 'high' } })
    local.stream.append({ ...row, row: 2, body: { ...seedEvent, eventId: 'ordinary', value: 1 } })
    start()
    await door.detect(eventBodies(seedEvent))
    expect(JSON.parse((await door.result('high'))!)).to.have.property('isAnomaly', true)
    expect(await door.result('ordinary')).to.equal(undefined)
  })

  it('turns requests away while too many events wait', async () => {
    open({ maxWaiting: 2 })
    const first = door.detect(eventBodies(seedEvent, { ...seedEvent, eventId: 'b' }))
    const error = await door.detect(eventBodies({ ...seedEvent, eventId: 'c' })).catch((error: AppError) => error)
    expect(error).to.be.instanceOf(AppError).and.include({ code: 'Unavailable', retriable: true })
    start()
    expect(await first).to.have.length(2)
    expect(await door.detect(eventBodies({ ...seedEvent, eventId: 'c' }))).to.have.length(1)
  })

  it('says how it is', async () => {
    open()
    expect(door.health()).to.deep.equal({
      status: 'UP',
      components: { stream: { status: 'UP', details: { waiting: 0 } } },
      modelVersion: 'LEARNING',
    })
  })

  it('turns away who waits, and who comes later, when the pipeline has failed', async () => {
    open()
    const waiting = door.detect(eventBodies(seedEvent)).catch((error: AppError) => error)
    door.fail(new Error('the disk is full'))
    const later = door.detect(eventBodies({ ...seedEvent, eventId: 'later' })).catch((error: AppError) => error)
    for (const error of [await waiting, await later])
      expect(error).to.be.instanceOf(AppError).and.include({ code: 'Unavailable', message: 'the pipeline has stopped' })
    expect(door.health().status).to.equal('DOWN')
  })

  it('learns what is said of an event before the events that come after it, and nothing of unknown ones', async () => {
    open({ maxResults: 50 }, { secondaryKeys: ['terminal'] }, { feedback: {} })
    start()
    const paid = (eventId: string, terminal: string) => ({ eventId, userId: 'u', value: 1, terminal, timestamp: now })
    const scoreOf = async (eventId: string, terminal: string) =>
      verdictOf((await door.detect(eventBodies(paid(eventId, terminal))))[0]).anomalyScore
    expect(await scoreOf('a', 't1')).to.equal(0)
    expect(await door.feedback!({ eventId: 'a', label: 'Confirmed' })).to.equal(true)
    const [risky, other] = [await scoreOf('b', 't1'), await scoreOf('c', 't2')]
    expect(risky).to.be.above(0.99)
    expect(other).to.be.within(0.5, risky)
    expect(await door.feedback!({ eventId: 'a', label: 'Withdrawn' })).to.equal(true)
    expect(await scoreOf('d', 't1')).to.equal(0)
    expect(await door.feedback!({ eventId: 'never', label: 'Confirmed' })).to.equal(false)
    const verdict = { userId: 'u', anomalyScore: 0.5, reasons: [] }
    expect(await door.feedback!({ eventId: 'never', label: 'Confirmed', verdict })).to.equal(true)
    expect(await scoreOf('e', 't3')).to.be.above(0.5)
    const { items } = await door.said!({}, { limit: 10 })
    expect(items.map(({ eventId, label, withdrawnAt }) => [eventId, label, withdrawnAt !== null]).sort()).to.deep.equal(
      [
        ['a', 'Confirmed', true],
        ['never', 'Confirmed', false],
      ],
    )
  })

  it('takes no feedback where the pipeline learns from none', () => {
    open()
    start()
    expect(door.feedback).to.equal(undefined)
    expect(door.said).to.equal(undefined)
  })
})

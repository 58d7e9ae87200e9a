import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import type { OutgoingRecord, RecordBatch } from '../../lib/kafka/records.ts'
import type { Logger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { resolveDetectors } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Episode } from '../detection/episode.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import { OpenEpisodes } from '../detection/open-episodes.ts'
import { random } from '../detection/random.ts'
import type { Verdict } from '../detection/verdict.ts'
import { InProcessScorer } from '../scoring/in-process.ts'
import type { Scorer } from '../scoring/scorer.ts'
import { createMemoryState } from '../state/memory.ts'
import { futureTolerance } from '../wire/decode.ts'
import { isOfPipeline } from '../wire/pipeline-header.ts'
import { recordKeyText } from '../wire/record-key.ts'
import type { Rejection } from '../wire/rejection.ts'
import { KeptState } from './kept-state.ts'
import { MemoryPartitions, type Partitions } from './partitions.ts'
import { isVerdict, type Outcome, type ProcessedBatch, Processor, type ProcessorOptions } from './processor.ts'
import type { PublishedPast } from './published-past.ts'

const now = Date.UTC(2024, 5, 1)
const silent = { info() {}, warn() {}, error() {} } as unknown as Logger
const profileOnly = { detectors: [{ name: 'profile', profile: {} }] }

function pipelineWith({ detection = {}, event = {}, results = {}, source = {} }: Record<string, object> = {}) {
  return parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'test' },
    spec: { source: { brokers: ['localhost:9092'], topic: 'events', ...source }, event, detection, results },
  })
}

interface Opened {
  readonly processor: Processor
  readonly partitions: Partitions
  readonly schema: FeatureSchema
  readonly processed: ProcessedBatch[]
  /** Judges bodies as one batch, or cut into batches of a size; what came of each. */
  judge(bodies: readonly unknown[], size?: number): Promise<readonly Outcome[]>
}

interface OpenOptions extends Partial<ProcessorOptions> {
  readonly stateBytes?: number
}

async function open(pipeline = pipelineWith(), { stateBytes, ...options }: OpenOptions = {}): Promise<Opened> {
  const schema = options.schema ?? new FeatureSchema()
  const partitions = new MemoryPartitions({ pipeline, schema, stateBytes })
  const processed: ProcessedBatch[] = []
  const detectors = resolveDetectors(pipeline.spec.detection)
  const processor = new Processor({
    pipeline,
    schema,
    partitions,
    scorer: new InProcessScorer({ detectors, seed: 1, fitting: 'Inline' }),
    extendSchema: (names) => {
      for (const name of names) schema.append(name)
    },
    originOf: ({ offset, key }) => ({
      id: `events-0-${offset}`,
      source: 'events',
      recordKey: key === null ? undefined : String(key),
      arrival: now,
      latest: now + futureTolerance,
    }),
    observer: (batch) => () => processed.push(batch),
    ...options,
  })
  await processor.assigned(0)
  let offset = 0
  return {
    processor,
    partitions,
    schema,
    processed,
    async judge(bodies, size = Math.max(1, bodies.length)) {
      const outcomes: Outcome[] = []
      for (let at = 0; at < bodies.length; at += size) {
        await processor.batch(batchOf(bodies.slice(at, at + size), offset))
        processor.committed(0)
        offset += size
        outcomes.push(...processed.at(-1)!.outcomes)
      }
      return outcomes
    },
  }
}

/** Strings are the record's value as it stands, anything else is written as JSON. */
function batchOf(bodies: readonly unknown[], from = 0): RecordBatch {
  const records = bodies.map((body, i) => ({
    offset: from + i,
    key: 'record-key',
    value: typeof body === 'string' ? body : JSON.stringify(body),
    timestamp: now,
    headers: { trace: 'abc' },
  }))
  return { topic: 'events', partition: 0, records }
}

/** Ordinary events, a second apart, of some users; the third feature comes with event 300. */
function events(count: number, users = 10) {
  const chance = random('events')
  return Array.from({ length: count }, (_, i) => ({
    eventId: `e${i}`,
    timestamp: now - 1000 * (count - i),
    userId: `user-${i % users}`,
    value: 50 + chance.next(),
    features: { a: chance.next(), b: 10 * chance.next(), ...(i < 300 ? undefined : { c: chance.next() }) },
  }))
}

const good = { eventId: 'good', timestamp: now, userId: 'user', value: 1, features: { a: 1 } }
const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}`, i]))

const unreadable: readonly (readonly [what: string, body: unknown, reason: string, field: string | undefined])[] = [
  ['malformed JSON', '{"eventId": "x", ', 'MalformedJson', undefined],
  ['an empty record', '', 'MalformedJson', undefined],
  ['NaN', '{"userId":"u","value":NaN}', 'MalformedJson', undefined],
  [
    'a value that is nested deeply',
    `{"userId":"u","value":${'['.repeat(9000)}${']'.repeat(9000)}}`,
    'InvalidValue',
    'value',
  ],
  ['an array', [good], 'NotAnObject', undefined],
  ['a number', 7, 'NotAnObject', undefined],
  ['null', null, 'NotAnObject', undefined],
  ['a key that is absent', { ...good, userId: undefined }, 'MissingKey', 'userId'],
  ['a key that is an object', { ...good, userId: {} }, 'MissingKey', 'userId'],
  ['an id of 257 characters', { ...good, eventId: 'x'.repeat(257) }, 'InvalidId', 'eventId'],
  ['an infinite value', '{"userId":"u","value":1e999}', 'InvalidValue', 'value'],
  ['a value in words', { ...good, value: '12.5' }, 'InvalidValue', 'value'],
  ['a feature in words', { ...good, features: { a: 'high' } }, 'InvalidFeature', 'features.a'],
  ['features that are a list', { ...good, features: [1, 2] }, 'InvalidFeature', 'features'],
  ['5,000 features', { ...good, features: many(5000) }, 'TooManyFeatures', 'features'],
  ['a time in the far future', { ...good, timestamp: now + 2 * futureTolerance }, 'InvalidTime', 'timestamp'],
  ['a time that is none', { ...good, timestamp: 'yesterday' }, 'InvalidTime', 'timestamp'],
]

describe('Processor', () => {
  it("publishes under the bytes of a record whose key is the event's", async () => {
    const { processor, processed } = await open(pipelineWith({ event: { key: '$key' } }), {
      originOf: ({ key }) => ({
        id: 'a',
        source: 'events',
        recordKey: recordKeyText(key),
        arrival: now,
        latest: now + futureTolerance,
      }),
    })
    const keys = ['00000000000000c8', '00000000000000c9', '75'].map((hex) => Buffer.from(hex, 'hex'))
    const records = keys.map((key, offset) => ({ offset, key, value: Buffer.from('{"value":1}'), timestamp: now }))
    const produced = await processor.batch({ topic: 'events', partition: 0, records })
    processor.committed(0)
    expect(produced.map(({ key }) => key)).to.deep.equal(keys)
    const shown = processed[0]!.outcomes.map((outcome) => (outcome as Verdict).userId)
    expect(shown).to.deep.equal(['hex:00000000000000c8', 'hex:00000000000000c9', 'u'])
  })

  it('leaves tombstones aside: neither a verdict nor a dead letter', async () => {
    const { processor, processed } = await open()
    const records = [{ offset: 0, key: 'u', value: null, timestamp: now }]
    expect(await processor.batch({ topic: 'events', partition: 0, records })).to.deep.equal([])
    processor.committed(0)
    expect(processed[0]!.outcomes).to.deep.equal([{ reason: 'Tombstone', message: 'the record has no value' }])
  })

  it('refuses bytes that are no UTF-8, and keeps them as they are', async () => {
    const { processor } = await open()
    const value = Buffer.concat([Buffer.from('{"userId":"'), Buffer.from([0xe9]), Buffer.from('"}')])
    const records = [{ offset: 0, key: 'u', value, timestamp: now }]
    const [letter] = await processor.batch({ topic: 'events', partition: 0, records })
    expect(letter!.headers).to.include({ 'anomaly-reason': 'NotUtf8' })
    expect(letter!.value).to.deep.equal(value)
  })

  it('publishes the same verdicts as text and as bytes, and reads the same events from text and from bytes', async () => {
    const bodies = events(600).map((event) => JSON.stringify(event))
    bodies[7] = '{"broken'
    const publishedOf = async (asBytes: boolean): Promise<readonly OutgoingRecord[]> => {
      const { processor } = await open(pipelineWith(), { asBytes })
      const published: OutgoingRecord[] = []
      for (let from = 0; from < bodies.length; from += 50) {
        const { records, ...batch } = batchOf(bodies.slice(from, from + 50), from)
        const values = records.map((record) => (asBytes ? { ...record, value: Buffer.from(record.value!) } : record))
        published.push(...(await processor.batch({ ...batch, records: values })))
        processor.committed(0)
      }
      return published
    }
    const [asText, asBytes] = [await publishedOf(false), await publishedOf(true)]
    expect(asBytes.map(({ value, ...rest }) => ({ ...rest, value: String(value) }))).to.deep.equal(asText)
    expect(asBytes.filter(({ value }) => !Buffer.isBuffer(value))).to.deep.equal([])
  })

  it('leads from the verdicts that it publishes back to their events, where somebody may ask', async () => {
    let isAsked = false
    const { processor } = await open(pipelineWith({ results: { topic: 'verdicts' } }), {
      referenceOf: ({ offset }, { value }, { partition }) => (isAsked ? { value, partition, offset } : undefined),
    })
    const publishedOf = async (offset: number) => {
      const produced = await processor.batch(batchOf([good, '{', { ...good, eventId: `e${offset}`, value: 7 }], offset))
      const verdicts = produced.filter(({ topic }) => topic === 'verdicts')
      return verdicts.map(({ value }) => JSON.parse(String(value)) as Verdict)
    }
    expect((await publishedOf(0))[1]).to.not.have.any.keys('value', 'partition', 'offset')
    isAsked = true
    const [first, second] = await publishedOf(40)
    expect(first).to.include({ value: 1, partition: 0, offset: 40 })
    expect(second).to.include({ eventId: 'e40', value: 7, partition: 0, offset: 42 })
  })

  it('answers each record with a verdict or a dead letter, and nothing else', async () => {
    const { processor } = await open(pipelineWith({ results: { topic: 'verdicts', deadLetterTopic: 'dead' } }))
    const produced = await processor.batch(batchOf([good, '{', { ...good, eventId: 'second', userId: 'other' }], 40))
    const of = (wanted: string) => produced.filter(({ topic }) => topic === wanted)
    expect(produced).to.have.length(3)
    const verdicts = of('verdicts').map(({ key, value }) => [key, (JSON.parse(String(value)) as Verdict).eventId])
    expect(verdicts).to.deep.equal([
      ['user', 'good'],
      ['other', 'second'],
    ])
    for (const { headers } of of('verdicts')) expect(isOfPipeline(headers, 'other')).to.equal(false)
    const [{ headers, ...letter }] = of('dead') as [OutgoingRecord]
    expect(letter).to.deep.equal({ topic: 'dead', key: 'record-key', value: '{' })
    expect(headers).to.deep.include({
      trace: 'abc',
      'anomaly-reason': 'MalformedJson',
      'anomaly-topic': 'events',
      'anomaly-partition': '0',
      'anomaly-offset': '41',
    })
    expect(headers!['anomaly-message']).to.be.a('string').that.is.not.empty
  })

  describe('bad input', () => {
    for (const [what, body, reason, field] of unreadable)
      it(`${what}: rejected as ${reason}, and the run goes on`, async () => {
        const { judge, schema } = await open()
        const [before, bad, after] = await judge([good, body, { ...good, eventId: 'next' }])
        expect(isVerdict(before!) && isVerdict(after!)).to.equal(true)
        const { message, ...rejection } = bad as Rejection
        expect(rejection).to.deep.equal({ reason, ...(field === undefined ? undefined : { field }) })
        expect(message).to.be.a('string').that.is.not.empty
        expect(schema.names).to.deep.equal(['a'])
      })

    it('features beyond what a pipeline may have: events are judged by the others, and say so', async () => {
      const { judge, schema } = await open(pipelineWith({ detection: profileOnly }))
      const of = (features: object, eventId: string) => ({ ...good, eventId, features })
      const filling = Array.from({ length: 5 }, (_, i) => of(many(1000), `fills it ${i}`))
      const outcomes = await judge([...filling, of({ 'one-more': 1, f1: 1 }, 'one too many'), of({ f1: 1 }, 'known')])
      expect(outcomes.every(isVerdict)).to.equal(true)
      const degraded = outcomes.map((outcome) => isVerdict(outcome) && outcome.degraded)
      expect(degraded.slice(-2)).to.deep.equal(['SchemaFull', undefined])
      expect(schema.size).to.equal(1000)
    })
  })

  it('gives each record of the same event id its own verdict', async () => {
    const { judge } = await open()
    const outcomes = await judge([good, good, good])
    expect(outcomes.map((outcome) => isVerdict(outcome) && outcome.eventId)).to.deep.equal(['good', 'good', 'good'])
  })

  it('scores an event on what is there of it, and says so by its confidence', async () => {
    const { judge } = await open()
    const ordinary = events(400)
    await judge(ordinary, 100)
    const last = ordinary.at(-1)!
    const { features: _features, ...withoutFeatures } = last
    const { value: _value, ...withoutValue } = last
    const [whole, noFeatures, noValue, nothing] = (await judge([
      last,
      withoutFeatures,
      withoutValue,
      { userId: last.userId },
    ])) as Verdict[]
    expect(whole!.confidence).to.be.within(0.7, 1)
    expect(noFeatures!.confidence).to.be.within(0.1, 0.3)
    expect(noValue!.confidence).to.be.within(0.5, 0.8)
    expect(nothing!.confidence).to.equal(0)
    expect(nothing!.timestamp).to.equal(now)
    for (const verdict of [noFeatures!, noValue!, nothing!]) expect(verdict.anomalyScore).to.be.within(0, 1)
  })

  it('judges alike wherever the stream is cut into batches, also where features appear in the middle', async () => {
    const bodies: unknown[] = events(1000)
    bodies.splice(250, 0, '{', 'null')
    const whole = await (await open()).judge(bodies)
    for (const size of [1, 7, 128, 500]) {
      const cut = await (await open()).judge(bodies, size)
      expect(cut, `batches of ${size}`).to.deep.equal(whole)
    }
  })

  it('extends the schema by all new features of an event at once, before it is judged', async () => {
    const extensions: (readonly string[])[] = []
    const schema = new FeatureSchema(['a'])
    const { judge } = await open(pipelineWith(), {
      schema,
      extendSchema: async (names) => {
        extensions.push(names)
        await new Promise(setImmediate)
        for (const name of names) schema.append(name)
      },
    })
    const of = (features: object) => ({ ...good, features })
    const outcomes = await judge([of({ a: 1 }), of({ c: 1, b: 1, a: 1 }), of({ b: 1, d: 1 }), of({ a: 1 })])
    expect(outcomes.every(isVerdict)).to.equal(true)
    expect(extensions).to.deep.equal([['c', 'b'], ['d']])
  })

  it('judges by the known features where new ones cannot be made known at the moment', async () => {
    const { judge, schema } = await open(pipelineWith(), {
      schema: new FeatureSchema(['a']),
      extendSchema: () => Promise.reject(new AppError('Unavailable', 'the store is away')),
    })
    const outcomes = await judge([{ ...good, features: { a: 1, b: 2 } }])
    expect(outcomes.every(isVerdict)).to.equal(true)
    expect(schema.names).to.deep.equal(['a'])
  })

  describe('odd streams', () => {
    const finite = (outcomes: readonly Outcome[]) => {
      for (const outcome of outcomes as Verdict[]) {
        expect(outcome.anomalyScore).to.be.within(0, 1)
        expect(outcome.confidence).to.be.within(0, 1)
        for (const { observed, contribution } of outcome.reasons) {
          expect(contribution).to.be.within(0, 1.000001)
          expect(observed).to.not.be.NaN
        }
      }
    }

    it('constant features: ordinary while they are constant, an anomaly when they change', async () => {
      const { judge } = await open()
      const constant = Array.from({ length: 1000 }, (_, i) => ({
        ...good,
        eventId: `e${i}`,
        timestamp: now - 1000 * (1000 - i),
        value: 5,
        features: { a: 0, b: -7.5 },
      }))
      const outcomes = (await judge(constant, 100)) as Verdict[]
      finite(outcomes)
      expect(outcomes.filter(({ isAnomaly }) => isAnomaly)).to.deep.equal([])
      const [changed] = (await judge([{ ...constant[0]!, timestamp: now, features: { a: 3, b: -7.5 } }])) as Verdict[]
      expect(changed!.anomalyScore).to.be.above(0.99)
    })

    it('one key only', async () => {
      const { judge, partitions } = await open(pipelineWith({ event: { key: '' } }))
      const outcomes = await judge(events(500), 100)
      finite(outcomes)
      expect(partitions.keys).to.equal(1)
      expect((outcomes as Verdict[]).every(({ userId }) => userId === '')).to.equal(true)
    })

    it('time that stands still, goes backwards and jumps', async () => {
      const { judge, processed } = await open()
      const ordinary = events(600, 3)
      await judge(ordinary, 100)
      const times = [now, now, now - 3_600_000, 0, now, now + futureTolerance, now - 1, '1969-12-31T00:00:00Z']
      const outcomes = await judge(times.map((timestamp) => ({ ...ordinary.at(-1)!, timestamp })))
      expect(outcomes.every(isVerdict)).to.equal(true)
      finite(outcomes)
      expect(processed.at(-1)!.late).to.equal(6)
      for (const { reasons } of outcomes as Verdict[])
        for (const { feature, observed } of reasons) if (feature === 'interval') expect(observed).to.be.at.least(0)
      await judge([{ ...ordinary.at(-1)!, timestamp: now + 1000 }])
      const [after] = (await judge([{ ...ordinary.at(-1)!, timestamp: now + 4000 }])) as Verdict[]
      expect(after!.anomalyScore).to.be.below(0.99)
    })

    it('the greatest and least of numbers', async () => {
      const { judge } = await open()
      const extremes = [Number.MAX_VALUE, -Number.MAX_VALUE, Number.MIN_VALUE, 1e39, -0, 1e-300]
      const outcomes = await judge([
        ...events(300),
        ...extremes.flatMap((x) => [
          { ...good, value: x },
          { ...good, features: { a: x, b: -x } },
        ]),
        ...events(300),
      ])
      expect(outcomes.every(isVerdict)).to.equal(true)
      finite(outcomes)
    })

    it('more keys than memory has room for: the ones unused for longest are forgotten', async () => {
      const stateBytes = 2_000_000
      const keysAfter = async (features: number, count: number) => {
        const { judge, partitions } = await open(pipelineWith({ detection: profileOnly }), { stateBytes })
        const bodies = Array.from({ length: count }, (_, i) => ({
          userId: `user-${i}`,
          value: 1,
          features: many(features),
        }))
        const outcomes = await judge(bodies, 500)
        expect(outcomes.every(isVerdict)).to.equal(true)
        return partitions.keys
      }
      const narrow = await keysAfter(1, 12_000)
      expect(narrow).to.be.within(8000, 11_000)
      const wide = await keysAfter(20, 12_000)
      expect(wide).to.be.within(4096, 0.6 * narrow)
    })

    it('another partition: what memory there is for keys is shared', async () => {
      const { judge, processor, partitions } = await open(pipelineWith({ detection: profileOnly }), {
        stateBytes: 4_000_000,
      })
      const bodies = Array.from({ length: 25_000 }, (_, i) => ({ userId: `user-${i}`, value: 1 }))
      await judge(bodies, 500)
      const alone = partitions.keys
      expect(alone).to.be.within(17_000, 22_000)
      await processor.assigned(1)
      await judge(bodies.slice(0, 500), 500)
      expect(partitions.keys).to.equal(Math.floor(alone / 2))
      processor.revoked(1)
      await judge(bodies, 500)
      expect(partitions.keys).to.equal(alone)
    })

    it('takes memory from partitions without events too when others join them', async () => {
      const { judge, processor, partitions } = await open(pipelineWith({ detection: profileOnly }), {
        stateBytes: 4_000_000,
      })
      const bodies = Array.from({ length: 25_000 }, (_, i) => ({ userId: `user-${i}`, value: 1 }))
      await judge(bodies, 500)
      const alone = partitions.keys
      await processor.assigned(1)
      expect(partitions.keys).to.equal(Math.floor(alone / 2))
    })

    it('takes none from a partition while its batch is being scored', async () => {
      const asked = Promise.withResolvers<void>()
      const answer = Promise.withResolvers<never>()
      const scorer: Scorer = {
        modelVersion: 'none',
        score: () => {
          asked.resolve()
          return answer.promise
        },
      }
      const detection = { onModelUnavailable: 'Degrade' }
      const { judge, processor, partitions } = await open(pipelineWith({ detection }), {
        stateBytes: 2_000_000,
        scorer,
      })
      const judged = judge(Array.from({ length: 6000 }, (_, i) => ({ userId: `user-${i}`, value: 1 })))
      await asked.promise
      await processor.assigned(1)
      expect(partitions.keys).to.equal(6000)
      answer.reject(new AppError('Unavailable', 'away'))
      await judged
      await processor.assigned(2)
      expect(partitions.keys).to.equal(4096)
    })
  })

  describe('without a model that answers', () => {
    const away: Scorer = {
      modelVersion: 'forest-1',
      score: () => Promise.reject(new AppError('Unavailable', 'no inference server answers')),
    }

    it('goes on with profiles and rules where that is wanted, and says so', async () => {
      const rules = [{ name: 'limit', field: 'value', above: '100' }]
      const pipeline = pipelineWith({ detection: { onModelUnavailable: 'Degrade', rules } })
      const { judge } = await open(pipeline, { scorer: away })
      const [ordinary, high] = (await judge([good, { ...good, value: 101 }])) as Verdict[]
      expect(ordinary).to.deep.include({ degraded: 'ModelUnavailable', modelVersion: 'UNAVAILABLE', isAnomaly: false })
      expect(high).to.deep.include({ degraded: 'ModelUnavailable', isAnomaly: true, confidence: 1 })
    })

    it('waits where that is wanted', async () => {
      const pipeline = pipelineWith({ detection: { onModelUnavailable: 'Wait' } })
      const detectors = resolveDetectors(pipeline.spec.detection)
      const present = new InProcessScorer({ detectors, seed: 1, fitting: 'Inline' })
      const pauses: number[] = []
      const { judge } = await open(pipeline, {
        scorer: {
          modelVersion: 'forest-1',
          score: (batch) => (pauses.length < 3 ? away.score(batch) : present.score(batch)),
        },
        pause: async (attempt) => {
          pauses.push(attempt)
        },
      })
      const [verdict] = (await judge([good])) as Verdict[]
      expect(pauses).to.deep.equal([0, 1, 2])
      expect(verdict).to.not.have.property('degraded')
    })

    it('fails with whatever else the scorer fails with', async () => {
      const scorer: Scorer = { modelVersion: 'none', score: () => Promise.reject(new TypeError('a mistake')) }
      const { judge } = await open(pipelineWith(), { scorer })
      expect(await judge([good]).catch((error: Error) => error)).to.be.instanceOf(TypeError)
    })

    it('asks for no scores where no detector needs a model', async () => {
      const { judge } = await open(pipelineWith({ detection: profileOnly }), { scorer: away })
      const [verdict] = (await judge([good])) as Verdict[]
      expect(verdict!.modelVersion).to.equal('NONE')
      expect(verdict).to.not.have.property('degraded')
    })
  })

  it('publishes only anomalies where that is wanted', async () => {
    const rules = [{ name: 'limit', field: 'value', above: '100' }]
    const { processor } = await open(pipelineWith({ detection: { rules }, results: { publish: 'Anomalies' } }))
    const produced = await processor.batch(batchOf([good, { ...good, eventId: 'high', value: 101 }]))
    expect(produced.map(({ value }) => (JSON.parse(String(value)) as Verdict).eventId)).to.deep.equal(['high'])
  })

  describe('with a past to learn first', () => {
    const rules = [{ name: 'limit', field: 'value', above: '100' }]
    const source = { learnOnlyBefore: '2024-01-02T00:00:00Z' }
    const past = { ...good, eventId: 'past', timestamp: '2024-01-01T23:59:59.999Z', value: 101 }
    const live = { ...past, eventId: 'live', timestamp: '2024-01-02T00:00:00Z' }

    it('learns events of it, and neither publishes nor calls anomalies what came of them', async () => {
      const { processor, processed } = await open(pipelineWith({ detection: { rules }, source }))
      const produced = await processor.batch(batchOf([past, live]))
      expect(produced.map(({ value }) => (JSON.parse(String(value)) as Verdict).eventId)).to.deep.equal(['live'])
      processor.committed(0)
      const [first, second] = processed[0]!.outcomes as Verdict[]
      expect([first!.isAnomaly, first!.suppressedBy, second!.isAnomaly]).to.deep.equal([false, 'Learning', true])
    })

    it('publishes them where that is wanted, and a verdict that was given already in any case', async () => {
      const results = { publishHistory: 'Enabled' }
      const { processor } = await open(pipelineWith({ detection: { rules }, source, results }))
      const produced = await processor.batch(batchOf([past, live]))
      expect(produced.map(({ value }) => (JSON.parse(String(value)) as Verdict).isAnomaly)).to.deep.equal([false, true])
      const given = '{"eventId":"past","userId":"user","timestamp":1,"isAnomaly":true,"anomalyScore":1,"reasons":[]}'
      const { processor: judged } = await open(pipelineWith({ source }), { givenVerdict: () => given })
      expect(await judged.batch(batchOf([past]))).to.have.length(1)
    })
  })

  describe('with a topic of episodes', () => {
    const rules = [{ name: 'limit', field: 'value', above: '100' }]
    const results = { episodesTopic: 'episodes', publish: 'Anomalies' }
    const source = { learnOnlyBefore: '2024-01-02T00:00:00Z' }
    const at = (minutes: number, value: number) => {
      return { ...good, eventId: `e${minutes}`, timestamp: Date.UTC(2024, 0, 2) + 60_000 * minutes, value }
    }
    const bodies = [at(-1, 500), at(0, 101), at(1, 300), at(2, 50), at(30, 50), at(40, 50), at(41, 200)]
    const published = (records: readonly OutgoingRecord[]) =>
      records.flatMap(({ topic, key, value }) => {
        const { change, episodeId, alerts } = JSON.parse(String(value)) as Episode
        return topic === 'episodes' ? [`${key}: ${change} ${episodeId} ${alerts}`] : []
      })
    const expected = ['Opened e0 1', 'Updated e0 2', 'Closed e0 2', 'Opened e41 1'].map((text) => `user: ${text}`)

    it('publishes what becomes of them, wherever the stream is cut', async () => {
      for (const size of [1, 2, 3, 7]) {
        const { processor } = await open(pipelineWith({ detection: { rules }, source, results }))
        const records: OutgoingRecord[] = []
        for (let from = 0; from < bodies.length; from += size) {
          records.push(...(await processor.batch(batchOf(bodies.slice(from, from + size), from))))
          processor.committed(0)
        }
        expect(published(records)).to.deep.equal(expected)
      }
    })

    for (const publish of ['All', 'Anomalies'] as const)
      it(`go on as their verdicts say when their owners are killed, and publish ${publish}`, async () => {
        const results = { episodesTopic: 'episodes', publish }
        const rules = [{ name: 'far', field: 'value', above: '1000' }]
        const pipeline = pipelineWith({ results, detection: { ...profileOnly, rules } })
        for (let seed = 1; seed <= 3; seed++) {
          const chance = random(seed)
          const bodies = events(1000).map((event) => (chance.next() < 0.01 ? { ...event, value: 5000 } : event))
          const published: OutgoingRecord[] = []
          const jsonOf = (topic: string) =>
            published.filter((one) => one.topic === topic).map(({ value }) => String(value))
          const past: PublishedPast = {
            wall: () => now,
            records: async (_, from, to) => batchOf(bodies.slice(from, to), from).records,
            verdicts: async (counts) => {
              const jsons = jsonOf(pipeline.spec.results.topic)
              return Map.groupBy(
                jsons.filter((json) => counts.has((JSON.parse(json) as Verdict).eventId)),
                (json) => (JSON.parse(json) as Verdict).eventId,
              )
            },
          }
          let kills = 0
          let stored: Uint8Array | undefined
          let { processor, partitions } = await open(pipeline, { past })
          for (let at = 0; at < bodies.length; ) {
            const size = 1 + chance.int(40)
            const produced = await processor.batch(batchOf(bodies.slice(at, at + size), at))
            const fate = chance.next()
            if (fate < 0.1) processor.dropped(0)
            else if (fate < 0.9) {
              processor.committed(0)
              published.push(...produced)
              at += size
              if (chance.next() < 0.3) stored = partitions.of(0)!.savePartition()
            }
            if (fate < 0.9 && chance.next() > 0.1) continue
            kills++
            ;({ processor, partitions } = await open(pipeline, { past }))
            if (stored !== undefined) partitions.of(0)!.loadPartition(stored)
            else at = published.length = 0
          }
          const verdicts = jsonOf(pipeline.spec.results.topic).map((json) => JSON.parse(json) as Verdict)
          const episodes = jsonOf('episodes').map((json) => JSON.parse(json) as Episode)
          const alone = new Map(episodes.map((episode) => [episode.episodeId, episode]))
          for (const [id, { partOf }] of alone) if (partOf !== undefined) alone.delete(id)
          const inEpisodes = [...alone.values()].reduce((sum, { alerts }) => sum + alerts, 0)
          expect([kills > 5, inEpisodes]).to.deep.equal([true, verdicts.filter(({ isAnomaly }) => isAnomaly).length])
          if (publish === 'Anomalies') continue
          // Verdicts are published with rounded reasons.
          const bare = (changes: readonly Episode[]) => changes.map((episode) => ({ ...episode, reasons: [] }))
          const expected: Episode[] = []
          const undisturbed = new OpenEpisodes(pipeline.spec.detection)
          for (const verdict of verdicts) undisturbed.add(verdict, expected)
          expect(bare(episodes), `seed ${seed}`).to.deep.equal(bare(expected))
        }
      })

    it('undoes them with the batch', async () => {
      const pipeline = pipelineWith({ detection: { rules }, source, results })
      const schema = new FeatureSchema()
      const store = createMemoryState({ profileTtlSeconds: 60, featureTtlSeconds: 60, maxFeatures: 10, now: Date.now })
      const kept = new KeptState({ pipeline, store, schema, log: silent, wall: Date.now, onFenced: () => {} })
      const { processor } = await open(pipeline, { partitions: kept, schema })
      const records: OutgoingRecord[] = []
      for (const [i, body] of bodies.entries()) {
        const first = await processor.batch(batchOf([body], i))
        processor.dropped(0)
        const again = await processor.batch(batchOf([body], i))
        expect(again).to.deep.equal(first)
        records.push(...again)
        processor.committed(0)
      }
      expect(published(records)).to.deep.equal(expected)
      kept.revoked(0)
    })
  })

  it('tells of a batch when it has taken effect, and never of one that was dropped', async () => {
    const { processor, processed } = await open()
    await processor.batch(batchOf([good]))
    expect(processed).to.have.length(0)
    processor.dropped(0)
    processor.committed(0)
    expect(processed).to.have.length(0)
    await processor.batch(batchOf([good, '{']))
    processor.committed(0)
    expect(processed.map(({ outcomes }) => outcomes.map(isVerdict))).to.deep.equal([[true, false]])
    expect(processed[0]!.events.map((event) => event?.id)).to.deep.equal(['good', undefined])
  })

  it('says how long verdicts took where there is a clock', async () => {
    let time = 100
    const { processor, judge, processed } = await open(pipelineWith(), { clock: () => (time += 5) })
    await judge([good])
    expect(processed[0]!.took).to.equal(5)
    const [record] = await processor.batch(batchOf([good]))
    expect(JSON.parse(String(record!.value))).to.have.property('inferenceTimeMs', 5)
  })

  it('keeps partitions apart, and forgets one that was revoked', async () => {
    const { processor, partitions } = await open()
    await processor.batch(batchOf([good]))
    await processor.assigned(1)
    await processor.batch({ ...batchOf([good]), partition: 1 })
    expect(partitions.keys).to.equal(2)
    processor.revoked(0)
    expect(partitions.keys).to.equal(1)
    const error = await processor.batch(batchOf([good])).catch((error: AppError) => error)
    expect(error).to.include({ code: 'Internal', message: 'partition 0 was not assigned' })
  })
})

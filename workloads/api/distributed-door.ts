import { type KeyObject, randomUUID } from 'node:crypto'
import { AppError, messageOf } from '../../lib/errors.ts'
import { failureOf } from '../../lib/kafka/errors.ts'
import { partitionOf } from '../../lib/kafka/partitioner.ts'
import type { OutgoingRecord } from '../../lib/kafka/records.ts'
import type { Metrics } from '../../lib/metrics.ts'
import { resolveFeatures } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { inject, traced } from '../../lib/telemetry.ts'
import type { SpanKind, TraceHeaders } from '../../lib/tracing.ts'
import type { Event } from '../detection/event.ts'
import type { FeatureSchema } from '../detection/feature-schema.ts'
import type { ScoredRows } from '../detection/scored-rows.ts'
import type { Verdict } from '../detection/verdict.ts'
import { type KeyStates, PartitionView } from '../judging/partition-view.ts'
import type { ComponentHealth, DetectionDoor, DetectOutcome, EventBody } from '../rest/door.ts'
import { coalescingScorer } from '../scoring/coalescing-scorer.ts'
import type { RowBatch, Scorer } from '../scoring/scorer.ts'
import { batches } from '../state/batches.ts'
import type { Claim, StateStore } from '../state/state.ts'
import { createDecode, type Decode, futureTolerance, isEvent, isRejection } from '../wire/decode.ts'
import type { Rejection } from '../wire/rejection.ts'
import { signVerdict } from '../wire/signed-verdict.ts'
import { verdictJson } from '../wire/verdict-bytes.ts'
import type { EventPublisher } from './event-publisher.ts'
import type { FeatureNames } from './feature-names.ts'
import type { SourceTopic } from './source-topic.ts'

/** Where the door's events go. */
export interface Publishing {
  readonly publisher: Pick<EventPublisher, 'send'>
  readonly signingKey: KeyObject
}

export interface DistributedDoorOptions {
  readonly pipeline: Pipeline
  readonly store: StateStore
  readonly scorer: Scorer & { problem(): string | undefined }
  readonly topic: Pick<SourceTopic, 'partitions' | 'problem' | 'suspect'>
  readonly names: Pick<FeatureNames, 'schema' | 'extend'>
  /** Absent: events are only scored. */
  readonly publishing?: Publishing | undefined
  readonly metrics: Metrics
  /** Milliseconds since 1970. */
  readonly wall: () => number
  /** Monotonic time in ms. */
  readonly clock: () => number
  /** For an answer, in ms. */
  readonly deadlineMs?: number | undefined
}

export interface DistributedDoor extends DetectionDoor {
  /** What it cannot do its work without and does not have, in words. */
  problem(): string | undefined
}

/** How long an event is answered with its first verdict, and its verdict can be read. */
const resultSeconds = 3600
/** A claim outlives its event's deadline by far, and the process that died with it not for long. */
const claimSeconds = 30
/** Events that may be under way before others are turned away. */
const maxUnderway = 20_000
const maxEventsAtOnce = 2000
/** Time until it is asked again what became of an event that another request, of any process, has claimed. */
const pendingMs = 25
/** Of a send: far below what a topic takes by default (1 MiB). */
const sendBytes = 256 * 1024
/** Of an event: what a topic takes by default, less its verdict. */
const maxEventBytes = 1_000_000

/** An event that is to be judged. */
interface Job {
  readonly event: Event
  /** The event has no id of its own: nobody can send it a second time. */
  readonly isIdAssigned: boolean
  /** JSON, as it is published. */
  readonly value: Buffer
  readonly began: number
  readonly trace: TraceHeaders | undefined
  readonly settle: (outcome: DetectOutcome) => void
  readonly fail: (error: unknown) => void
}

interface Judged {
  readonly job: Job
  readonly verdict: Verdict
  readonly json: string
  readonly partition: number
}

/** What depends on the positions of features. */
interface Reading {
  readonly schema: FeatureSchema
  readonly decode: Decode
  readonly views: Map<number, PartitionView>
}

/**
 * The REST door of many processes: judges by what the consumers have learnt and by the inference service, and publishes
 * each event with its verdict. What comes while others are judged is judged together next.
 */
export function createDistributedDoor(options: DistributedDoorOptions): DistributedDoor {
  const { pipeline, store, topic, names, publishing, metrics, wall, clock, deadlineMs = 5000 } = options
  const { source, event: mapping, detection } = pipeline.spec
  const hasFeatures = resolveFeatures(mapping).type !== 'none'
  const scorer = coalescingScorer(options.scorer)
  const counts = { underway: 0 }
  let reading: Reading | undefined
  let waiting: Job[] = []
  let isJudging = false

  // --- reading ----------------------------------------------------------------------------------------------------

  function current(): Reading {
    const { schema } = names
    if (reading?.schema !== schema) reading = { schema, decode: createDecode(mapping, schema), views: new Map() }
    return reading
  }

  /** The event; without an id of its own, with an empty one. */
  function read({ text, value }: EventBody): Event | Rejection | Promise<Event | Rejection> {
    const arrival = wall()
    const origin = { id: '', source: source.topic, recordKey: undefined, arrival, latest: arrival + futureTolerance }
    const decoded = current().decode(value, origin, text)
    if (isEvent(decoded) || isRejection(decoded)) return decoded
    return names.extend(decoded.unknown).then(() => {
      const known = current().decode(value, { ...origin, knownOnly: true }, text)
      if (isEvent(known) || isRejection(known)) return known
      throw new AppError('Internal', `${known.unknown.join(', ')} should have been left aside`)
    })
  }

  async function detectOne(body: EventBody, trace: TraceHeaders | undefined): Promise<DetectOutcome> {
    const began = clock()
    const decoded = read(body)
    const found = decoded instanceof Promise ? await decoded : decoded
    if (isRejection(found)) return rejected(found)
    const isIdAssigned = found.id === ''
    const event = isIdAssigned ? { ...found, id: `api-${randomUUID()}` } : found
    const value = Buffer.from(publishing === undefined ? '' : body.text)
    if (value.length > maxEventBytes) return tooLarge()
    const { promise, resolve: settle, reject: fail } = Promise.withResolvers<DetectOutcome>()
    submit({ event, isIdAssigned, value, began, trace, settle, fail })
    return promise
  }

  function rejected({ reason, field, message }: Rejection): DetectOutcome {
    metrics.countRejection(reason)
    return { kind: 'rejected', reason, message, ...(field === undefined ? undefined : { field }) }
  }

  function tooLarge(): DetectOutcome {
    return rejected({ reason: 'TooLarge', message: `with its verdict the event exceeds what ${source.topic} takes` })
  }

  // --- judging ----------------------------------------------------------------------------------------------------

  function submit(job: Job): void {
    waiting.push(job)
    if (isJudging) return
    isJudging = true
    setImmediate(judgeWaiting)
  }

  async function judgeWaiting(): Promise<void> {
    while (waiting.length > 0) {
      const jobs = waiting.slice(0, maxEventsAtOnce).filter(isInTime)
      waiting = waiting.slice(maxEventsAtOnce)
      try {
        const judged = await together('judge events', 'internal', jobs, () => judge(jobs))
        if (publishing === undefined) void answer(judged)
        else for (const part of batches(judged, sizeOfJudged, sendBytes)) void publish(part, publishing)
      } catch (error) {
        giveUp(jobs, error)
      }
    }
    isJudging = false
  }

  function isInTime({ began, fail }: Job): boolean {
    if (clock() - began < deadlineMs) return true
    fail(new AppError('Unavailable', `There was no answer within ${deadlineMs / 1000} s; try again`))
    return false
  }

  /** The jobs' verdicts, but for jobs that are answered already, put back, or failed. */
  async function judge(jobs: readonly Job[]): Promise<readonly Judged[]> {
    const partitions = topic.partitions()
    if (partitions === undefined) throw new AppError('Unavailable', topic.problem() ?? 'Kafka: not connected yet')
    const byPartition = Map.groupBy(jobs, ({ event }) => partitionOf(event.key, partitions, source.partitioner))
    const views = new Map(Array.from(byPartition.keys(), (partition) => [partition, viewOf(partition)]))
    const [claims, completed, states] = await Promise.all([claim(jobs), complete(jobs), statesOf(byPartition, views)])
    const mine = new Set(jobs.filter((job) => isMine(job, claims.get(job))))
    const judged = Array.from(byPartition, async ([partition, ofPartition]) => {
      const own = ofPartition.filter((job) => mine.has(job))
      if (own.length === 0) return []
      try {
        const events = own.map((job) => completed.get(job) ?? job.event)
        const verdicts = await views.get(partition)!.judge(events, states?.get(partition), score)
        return own.map((job, i) => concluded(job, verdicts[i]!, partition))
      } catch (error) {
        giveUp(own, error)
        return []
      }
    })
    return (await Promise.all(judged)).flat()
  }

  /** The stored states of the jobs' keys by partition, and what the keys share brought up to date; undefined without the store. */
  async function statesOf(
    byPartition: ReadonlyMap<number, readonly Job[]>,
    views: ReadonlyMap<number, PartitionView>,
  ): Promise<ReadonlyMap<number, KeyStates> | undefined> {
    const wanted = Array.from(byPartition, ([partition, jobs]) => {
      return [partition, [...new Set(jobs.map(({ event }) => event.key))]] as const
    })
    const count = wanted.reduce((sum, [, keys]) => sum + keys.length, 0)
    metrics.stateLookups.inc({ outcome: 'miss' }, count)
    const refreshed = Promise.all(Array.from(views.values(), (view) => view.refresh()))
    const found = await Promise.all([store.partitions.loadKeysOf(wanted), refreshed]).catch(withoutStore)
    if (found === undefined) return undefined
    const [payloads] = found
    return new Map(
      wanted.map(([partition, keys], p) => [partition, new Map(keys.map((key, i) => [key, payloads[p]![i]]))]),
    )
  }

  function viewOf(partition: number): PartitionView {
    const { schema, views } = current()
    let view = views.get(partition)
    if (view === undefined) {
      view = new PartitionView({ pipeline, partition, schema, store: store.partitions, clock })
      views.set(partition, view)
    }
    return view
  }

  /** Without the store every event is judged, a second time as well. */
  async function claim(jobs: readonly Job[]): Promise<ReadonlyMap<Job, Claim>> {
    const named = jobs.filter(({ isIdAssigned }) => !isIdAssigned)
    const ids = named.map(({ event }) => event.id)
    const claims = await store.results.claim(ids, claimSeconds).catch(withoutStore)
    return new Map(claims?.map((one, i) => [named[i]!, one]))
  }

  function isMine(job: Job, found: Claim | undefined): boolean {
    if (found === undefined || found.type === 'Claimed') return true
    if (found.type === 'Verdict') job.settle({ kind: 'verdict', json: found.json, replayed: true })
    else setTimeout(() => submit(job), pendingMs)
    return false
  }

  /** The events that left out all features, with those that were last seen of their keys. */
  async function complete(jobs: readonly Job[]): Promise<ReadonlyMap<Job, Event>> {
    const completed = new Map<Job, Event>()
    const bare = hasFeatures ? jobs.filter(({ event }) => event.features.every(Number.isNaN)) : []
    if (bare.length === 0) return completed
    const last = await store.features.last(bare.map(({ event }) => event.key)).catch(withoutStore)
    const bags = bare.map((_, i) => JSON.parse(last?.[i] ?? '{}') as Readonly<Record<string, number>>)
    await names.extend([...new Set(bags.flatMap(Object.keys))])
    for (const [i, job] of bare.entries()) {
      const features = names.schema.names.map((name) => bags[i]![name] ?? Number.NaN)
      completed.set(job, { ...job.event, features })
    }
    return completed
  }

  async function score(batch: RowBatch): Promise<ScoredRows | undefined> {
    try {
      return await scorer.score(batch)
    } catch (error) {
      const isPassing = error instanceof AppError && error.retriable
      if (isPassing && detection.onModelUnavailable === 'Degrade') return undefined
      if (isPassing) throw error
      throw new AppError('Internal', `Cannot score rows: ${messageOf(error)}`, { cause: error })
    }
  }

  function concluded(job: Job, verdict: Verdict, partition: number): Judged {
    return { job, verdict, json: verdictJson(verdict, clock() - job.began), partition }
  }

  // --- publishing and answering -----------------------------------------------------------------------------------

  /** Goes on while the next events are judged. */
  async function publish(judged: readonly Judged[], publishing: Publishing): Promise<void> {
    const jobs = judged.map(({ job }) => job)
    const timeoutMs = Math.max(1, deadlineMs - (clock() - Math.min(...jobs.map(({ began }) => began))))
    const records = judged.map((one) => recordOf(one, publishing.signingKey))
    try {
      await together('publish events', 'producer', jobs, () => publishing.publisher.send(records, timeoutMs))
    } catch (error) {
      if (failureOf(error) !== 'TooLarge') {
        topic.suspect(messageOf(error))
        return giveUp(jobs, error)
      }
      if (judged.length > 1) return void judged.map((one) => publish([one], publishing))
      release(jobs)
      return jobs[0]!.settle(tooLarge())
    }
    await answer(judged)
  }

  function recordOf({ job, json, partition }: Judged, signingKey: KeyObject): OutgoingRecord {
    const { event, isIdAssigned, value, trace } = job
    const record = { topic: source.topic, key: event.key, value }
    const headers = signVerdict(signingKey, { ...record, eventId: event.id }, json, { isIdAssigned })
    return { ...record, partition, headers: { ...headers, ...(trace && { traceparent: trace.traceparent }) } }
  }

  async function answer(judged: readonly Judged[]): Promise<void> {
    const results = new Map(judged.map(({ job, json }) => [job.event.id, json]))
    // What is published is answered, whatever becomes of its copy.
    await store.results.put(results, resultSeconds).catch(() => {})
    const now = clock()
    let alerts = 0
    for (const { job, verdict, json } of judged) {
      job.settle({ kind: 'verdict', json, replayed: false })
      metrics.detectionSeconds.observe((now - job.began) / 1000)
      if (verdict.isAnomaly) alerts++
    }
    // What is published is counted by the consumer that publishes its verdict.
    if (publishing === undefined) metrics.countVerdicts({ anomaly: alerts, normal: judged.length - alerts })
    metrics.setModel(scorer.modelVersion)
  }

  /** Nothing of these events is kept, so that they can be sent again. */
  function giveUp(jobs: readonly Job[], error: unknown): void {
    release(jobs)
    const isPassing = error instanceof AppError && error.retriable
    const failure = isPassing ? new AppError('Unavailable', error.message, { cause: error }) : error
    for (const { fail } of jobs) fail(failure)
  }

  function release(jobs: readonly Job[]): void {
    const ids = jobs.filter(({ isIdAssigned }) => !isIdAssigned).map(({ event }) => event.id)
    store.results.release(ids).catch(() => {})
  }

  // --- the door ---------------------------------------------------------------------------------------------------

  function problem(): string | undefined {
    return publishing === undefined && topic.partitions() !== undefined ? undefined : topic.problem()
  }

  async function detectAll(bodies: readonly EventBody[], trace: TraceHeaders | undefined): Promise<DetectOutcome[]> {
    const missing = problem()
    if (missing !== undefined) throw new AppError('Unavailable', missing)
    if (counts.underway + bodies.length > maxUnderway)
      throw new AppError('Unavailable', `${counts.underway} events are under way already; try again later`)
    counts.underway += bodies.length
    try {
      return await Promise.all(bodies.map((body) => detectOne(body, trace)))
    } finally {
      counts.underway -= bodies.length
    }
  }

  return {
    problem,
    detect: (bodies, { trace } = {}) =>
      traced('detect', { kind: 'server', parent: trace, attributes: { 'anomaly.events': bodies.length } }, () =>
        detectAll(bodies, inject() ?? trace),
      ),
    result: (eventId) => store.results.get(eventId),
    health() {
      const components = {
        kafka: componentOf(topic.problem()),
        redis: componentOf(store.problem()),
        inference: componentOf(options.scorer.problem()),
      }
      const isWhole = Object.values(components).every(({ status }) => status === 'UP')
      const status = problem() !== undefined ? 'DOWN' : isWhole ? 'UP' : 'DEGRADED'
      return { status, components, modelVersion: scorer.modelVersion }
    },
  }
}

function componentOf(problem: string | undefined): ComponentHealth {
  return problem === undefined ? { status: 'UP' } : { status: 'DOWN', details: { problem } }
}

function withoutStore(error: unknown): undefined {
  if (!(error instanceof AppError && error.retriable)) throw error
}

/** About: headers and what a record has besides take less than 400 bytes. */
function sizeOfJudged({ job, json }: Judged): number {
  return job.value.length + json.length + 400
}

/** A span in the trace of the first job, linked to the others'. */
function together<T>(name: string, kind: SpanKind, jobs: readonly Job[], work: () => T): T {
  const [parent, ...links] = jobs.flatMap(({ trace }) => trace ?? [])
  return traced(name, { kind, parent, links: links.slice(0, 100) }, work)
}

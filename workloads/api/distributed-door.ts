import { type KeyObject, randomUUID } from 'node:crypto'
import { AppError, messageOf } from '../../lib/errors.ts'
import { failureOf } from '../../lib/kafka/errors.ts'
import { partitionOf } from '../../lib/kafka/partitioner.ts'
import type { Metrics } from '../../lib/metrics.ts'
import type { LivePipeline } from '../../lib/pipeline/live-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { inject, traced } from '../../lib/telemetry.ts'
import type { TraceHeaders } from '../../lib/tracing.ts'
import { traceFields } from '../../lib/tracing.ts'
import type { Verdict } from '../detection/verdict.ts'
import {
  type ComponentHealth,
  DetectError,
  type DetectionDoor,
  type DetectOutcome,
  type EventBody,
  idReused,
} from '../rest/door.ts'
import { fingerprintOf } from '../rest/fingerprint.ts'
import type { Scorer } from '../scoring/scorer.ts'
import type { EventPlace, StateStore } from '../state/state.ts'
import { isServersFault } from '../streams/problem.ts'
import { isRejection } from '../wire/decode.ts'
import { type FeedbackBody, feedbackRecord, spokenOfSeconds } from '../wire/feedback-record.ts'
import type { Rejection } from '../wire/rejection.ts'
import { verdictJson } from '../wire/verdict-bytes.ts'
import { createEventClaims, setFirst } from './event-claims.ts'
import { createEventJudge } from './event-judge.ts'
import type { EventPublisher } from './event-publisher.ts'
import { createEventReader } from './event-reader.ts'
import type { FeatureNames } from './feature-names.ts'
import { type Job, type JudgedJob, newJob, unsent } from './job.ts'
import type { SentVerdicts } from './sent-verdicts.ts'
import type { SourceTopic } from './source-topic.ts'
import { together } from './together.ts'
import { createVerdictPublisher } from './verdict-publisher.ts'

/** Where the door's events go. */
export interface Publishing {
  readonly publisher: Pick<EventPublisher, 'deliver'>
  readonly sent: SentVerdicts
  readonly signingKey: KeyObject
}

export interface DistributedDoorOptions {
  readonly pipeline: Pipeline
  readonly live?: LivePipeline | undefined
  readonly store: StateStore
  readonly scorer: Scorer & { problem(): string | undefined }
  readonly topic: Pick<SourceTopic, 'partitions' | 'endOf' | 'problem' | 'suspect'>
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
  close(): void
}

/** Events that may be under way before others are turned away. */
const maxUnderway = 20_000
const maxEventsAtOnce = 2000
/** Of an event: what a topic takes by default, less its verdict. */
const maxEventBytes = 1_000_000
/** Time until it is asked again what became of an event that another process has claimed. */
const pendingMs = 25

/**
 * The REST door of many processes: judges by what the consumers have learnt and by the inference service, and publishes
 * each event with its verdict. What comes while others are judged is judged together next.
 *
 * A caller is answered within the deadline; its event is followed until it is known what became of it, and holds its id
 * until then, so that a repetition finds out instead of publishing it a second time.
 */
export function createDistributedDoor(options: DistributedDoorOptions): DistributedDoor {
  const { pipeline, live, store, scorer, topic, names, publishing, metrics, wall, clock, deadlineMs = 5000 } = options
  const { source } = pipeline.spec
  const reader = createEventReader({ pipeline, names, features: store.features, wall })
  const judge = createEventJudge({ pipeline, live, partitions: store.partitions, scorer, names, metrics, clock })
  const claims = createEventClaims({
    results: store.results,
    alertSeconds: pipeline.spec.detection.feedback && spokenOfSeconds,
    reused: (job) => job.settle(idReused(job.event.id)),
  })
  const publish =
    publishing &&
    createVerdictPublisher({
      ...publishing,
      topic: source.topic,
      timeLeft: (jobs) => Math.max(1, deadlineMs - (clock() - Math.min(...jobs.map(({ began }) => began)))),
      published: answer,
      tooLarge(job) {
        claims.release([job])
        job.settle(tooLarge())
      },
      notSent(jobs, error) {
        topic.suspect(messageOf(error))
        giveUp(jobs, error)
      },
      unknown: (judged, error) => void followUp(judged, error),
    })
  /** Events whose callers wait, and those whose outcome is not known yet. */
  const counts = { asked: 0, underway: 0 }
  let waiting: Job[] = []
  let isJudging = false

  async function detectOne(
    body: EventBody,
    trace: TraceHeaders | undefined,
    late: Promise<void>,
  ): Promise<DetectOutcome> {
    const began = clock()
    const decoded = reader.read(body)
    const found = decoded instanceof Promise ? await decoded : decoded
    if (isRejection(found)) return rejected(found)
    const isIdAssigned = found.id === ''
    const event = isIdAssigned ? { ...found, id: `api-${randomUUID()}` } : found
    const value = Buffer.from(body.text)
    if (value.length > maxEventBytes) return tooLarge()
    const fingerprint = isIdAssigned ? '' : fingerprintOf(body)
    const job = newJob({ event, isIdAssigned, fingerprint, value, place: placeOf(event.key), began, trace })
    const earlier = isIdAssigned ? undefined : (claims.held(event.id) ?? claims.unstored(event.id))
    if (earlier !== undefined && earlier.fingerprint !== job.fingerprint) return idReused(event.id)
    if (earlier !== undefined && 'json' in earlier) return { kind: 'verdict', json: earlier.json, replayed: true }
    if (earlier !== undefined) return inTime(earlier, late).then(replayed)
    claims.hold(job)
    counts.underway++
    job.outcome.then(() => counts.underway--)
    submit(job)
    return inTime(job, late)
  }

  function placeOf(key: string): EventPlace {
    const partitions = topic.partitions()
    // Before the topic is known, nothing is sent.
    if (partitions === undefined) return { partition: 0, offset: 0 }
    return topic.endOf(partitionOf(key, partitions, source.partitioner))
  }

  function inTime(job: Job, late: Promise<void>): Promise<DetectOutcome> {
    const tell = (): DetectOutcome => {
      const nothing = job.stored === 'Nothing'
      if (nothing) job.isWithdrawn = true
      const known = nothing ? 'nothing is stored' : 'whether the event is stored is not known yet'
      const message = `There was no answer within ${deadlineMs / 1000} s, and ${known}; send it again`
      return { kind: 'failed', error: new DetectError(job.stored, message) }
    }
    return Promise.race([job.outcome, late.then(tell)])
  }

  function rejected({ reason, field, message }: Rejection): DetectOutcome {
    metrics.countRejection(reason)
    return { kind: 'rejected', reason, message, ...(field === undefined ? undefined : { field }) }
  }

  function tooLarge(): DetectOutcome {
    return rejected({ reason: 'TooLarge', message: `with its verdict the event exceeds what ${source.topic} takes` })
  }

  function submit(job: Job): void {
    waiting.push(job)
    if (isJudging) return
    isJudging = true
    setImmediate(judgeWaiting)
  }

  async function judgeWaiting(): Promise<void> {
    while (waiting.length > 0) {
      const jobs = withoutWithdrawn(waiting.slice(0, maxEventsAtOnce))
      waiting = waiting.slice(maxEventsAtOnce)
      try {
        const judged = await together('judge events', 'internal', jobs, () => judgeTogether(jobs))
        // Goes on while the next events are judged.
        if (publish === undefined) void answer(judged)
        else void publish(judged.filter(({ job }) => withoutWithdrawn([job]).length > 0))
      } catch (error) {
        giveUp(jobs, error)
      }
    }
    isJudging = false
  }

  function withoutWithdrawn(jobs: readonly Job[]): readonly Job[] {
    const withdrawn = jobs.filter(({ isWithdrawn }) => isWithdrawn)
    if (withdrawn.length === 0) return jobs
    giveUp(withdrawn, new AppError('Unavailable', 'the caller was told that nothing is stored'))
    return jobs.filter(({ isWithdrawn }) => !isWithdrawn)
  }

  /** The jobs' verdicts, but for jobs that are answered already, put back, or failed. */
  async function judgeTogether(jobs: readonly Job[]): Promise<readonly JudgedJob[]> {
    const missing = problem()
    if (missing !== undefined) {
      giveUp([...(await claimFor(jobs))], new AppError('Unavailable', missing))
      return []
    }
    const byPartition = Map.groupBy(jobs, ({ place }) => place.partition)
    const eventsOf = new Map(
      Array.from(byPartition, ([partition, ofPartition]) => [partition, ofPartition.map(({ event }) => event)]),
    )
    const [mine, completed, judgeEvents] = await Promise.all([
      claimFor(jobs),
      reader.complete(jobs.map(({ event }) => event)),
      judge.reading(eventsOf),
    ])
    const eventOf = new Map(jobs.map((job, i) => [job, completed[i]!]))
    async function judgeOwn(partition: number, own: readonly Job[]): Promise<readonly JudgedJob[]> {
      const verdicts = await judgeEvents(
        partition,
        own.map((job) => eventOf.get(job)!),
      )
      return own.map((job, i) => concluded(job, verdicts[i]!))
    }
    const judged: JudgedJob[] = []
    const failed: [partition: number, own: readonly Job[]][] = []
    const trying = Array.from(byPartition, async ([partition, ofPartition]) => {
      const own = ofPartition.filter((job) => mine.has(job))
      if (own.length === 0) return
      try {
        judged.push(...(await judgeOwn(partition, own)))
      } catch (error) {
        if (isServersFault(error)) giveUp(own, error)
        else failed.push([partition, own])
      }
    })
    await Promise.all(trying)
    // The event that brings a failure is found by halves, one try at a time: the others get their verdicts.
    for (let half = failed.pop(); half !== undefined; half = failed.pop()) {
      const [partition, own] = half
      try {
        judged.push(...(await judgeOwn(partition, own)))
      } catch (error) {
        const middle = own.length >> 1
        if (middle === 0 || isServersFault(error)) giveUp(own, error)
        else failed.push([partition, own.slice(0, middle)], [partition, own.slice(middle)])
      }
    }
    return judged
  }

  /** Those of the jobs that are to be judged here. */
  async function claimFor(jobs: readonly Job[]): Promise<ReadonlySet<Job>> {
    const claimed = await claims.claim(jobs)
    for (const job of claimed.pending) {
      if (clock() - job.began < deadlineMs) setTimeout(submit, pendingMs, job)
      else
        job.settle({
          kind: 'failed',
          error: new DetectError('Unknown', 'another process has the event; send it again'),
        })
    }
    const mine = new Set(claimed.mine)
    if (claimed.abandoned.size === 0) return mine
    if (publishing === undefined) for (const job of claimed.abandoned.keys()) mine.add(job)
    else
      void findOut(claimed.abandoned).then((missing) => {
        for (const job of missing) {
          setFirst(job)
          submit(job)
        }
      })
    return mine
  }

  function concluded(job: Job, verdict: Verdict): JudgedJob {
    return { job, isAnomaly: verdict.isAnomaly, json: verdictJson(verdict, clock() - job.began) }
  }

  async function answer(judged: readonly JudgedJob[]): Promise<void> {
    await claims.keep(judged)
    const now = clock()
    let alerts = 0
    for (const { job, isAnomaly, json } of judged) {
      job.settle({ kind: 'verdict', json, replayed: false })
      metrics.detectionSeconds.observe((now - job.began) / 1000, 1, traceFields(job.trace).traceId)
      if (isAnomaly) alerts++
    }
    // What is published is counted by the consumer that publishes its verdict.
    if (publish === undefined) metrics.countVerdicts({ anomaly: alerts, normal: judged.length - alerts })
    metrics.setModel(judge.modelVersion)
  }

  /** Some of what was sent together may be in the topic. */
  async function followUp(judged: readonly JudgedJob[], error: unknown): Promise<void> {
    const isTooLarge = failureOf(error) === 'TooLarge'
    if (!isTooLarge) topic.suspect(messageOf(error))
    const missing = await findOut(new Map(judged.map(({ job }) => [job, job.place])))
    if (!isTooLarge) return giveUp(missing, error)
    // One after the other: what waits to be sent goes together.
    for (const one of judged) if (missing.includes(one.job)) await publish!([one])
  }

  /** Looks for events that may be in the topic. Those that are get the verdict that they have there. */
  async function findOut(places: ReadonlyMap<Job, EventPlace>): Promise<readonly Job[]> {
    for (const job of places.keys()) job.stored = 'Unknown'
    const wanted = new Map(Array.from(places, ([{ event }, place]) => [event.id, place]))
    const found = await publishing!.sent.find(wanted)
    const judged: JudgedJob[] = []
    const missing: Job[] = []
    for (const job of places.keys()) {
      const json = found.get(job.event.id)
      if (json === undefined) missing.push(job)
      else judged.push({ job, isAnomaly: (JSON.parse(json) as Verdict).isAnomaly, json })
    }
    if (judged.length > 0) await answer(judged)
    for (const job of missing) job.stored = unsent(job)
    return missing
  }

  /** Nothing of these events is kept, so that they can be sent again. */
  function giveUp(jobs: readonly Job[], error: unknown): void {
    claims.release(jobs)
    // A topic that was made anew is looked up, and has partitions again.
    const isPassing = error instanceof AppError && (error.retriable || failureOf(error) === 'Missing')
    for (const job of jobs) {
      const failure = isPassing ? new DetectError(unsent(job), error.message, { cause: error }) : error
      job.settle({ kind: 'failed', error: failure })
    }
  }

  function problem(): string | undefined {
    return publish === undefined && topic.partitions() !== undefined ? undefined : topic.problem()
  }

  async function detectAll(bodies: readonly EventBody[], trace: TraceHeaders | undefined): Promise<DetectOutcome[]> {
    const underway = Math.max(counts.asked, counts.underway)
    if (underway + bodies.length > maxUnderway)
      throw new DetectError('Unknown', `${underway} events are under way already; try again later`)
    counts.asked += bodies.length
    const { promise: late, resolve: expire } = Promise.withResolvers<void>()
    const timer = setTimeout(expire, deadlineMs)
    try {
      return await Promise.all(
        bodies.map((body) => detectOne(body, trace, late).catch((error) => ({ kind: 'failed', error }) as const)),
      )
    } finally {
      counts.asked -= bodies.length
      clearTimeout(timer)
    }
  }

  async function resultOf(eventId: string): Promise<string | undefined> {
    return claims.unstored(eventId)?.json ?? (await store.results.get(eventId))
  }

  /** To where the event's key is judged, in order with its events. */
  async function takeFeedback(said: FeedbackBody, publisher: Publishing['publisher']): Promise<boolean> {
    const known = said.verdict === undefined ? await resultOf(said.eventId) : undefined
    const verdict = said.verdict ?? (known && (JSON.parse(known) as Verdict))
    if (!verdict) return false
    const record = feedbackRecord({ ...said, verdict, time: said.time ?? wall() }, source.topic)
    const { partition } = placeOf(verdict.userId)
    const delivery = await publisher.deliver([{ ...record, partition }], { startMs: deadlineMs })
    if (delivery.outcome === 'Sent') return true
    const stored = delivery.outcome === 'NotSent' ? 'Nothing' : 'Unknown'
    topic.suspect(messageOf(delivery.error))
    throw new DetectError(stored, 'the feedback could not be stored; send it again', { cause: delivery.error })
  }

  return {
    problem,
    close: claims.close,
    detect: (bodies, { trace } = {}) =>
      traced('detect', { kind: 'server', parent: trace, attributes: { 'anomaly.events': bodies.length } }, () =>
        detectAll(bodies, inject() ?? trace),
      ),
    result: resultOf,
    feedback: publishing && pipeline.spec.detection.feedback && ((said) => takeFeedback(said, publishing.publisher)),
    said: pipeline.spec.detection.feedback && store.said.list,
    health() {
      const components = {
        kafka: componentOf(topic.problem()),
        redis: componentOf(store.problem()),
        inference: componentOf(scorer.problem()),
      }
      const isWhole = Object.values(components).every(({ status }) => status === 'UP')
      const status = problem() !== undefined ? 'DOWN' : isWhole ? 'UP' : 'DEGRADED'
      return { status, components, modelVersion: judge.modelVersion }
    },
  }
}

function replayed(outcome: DetectOutcome): DetectOutcome {
  return outcome.kind === 'verdict' ? { ...outcome, replayed: true } : outcome
}

function componentOf(problem: string | undefined): ComponentHealth {
  return problem === undefined ? { status: 'UP' } : { status: 'DOWN', details: { problem } }
}

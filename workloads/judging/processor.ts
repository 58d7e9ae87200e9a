import { AppError } from '../../lib/errors.ts'
import type { Headers, OutgoingRecord, RecordBatch, StreamRecord } from '../../lib/kafka/records.ts'
import type { LivePipeline } from '../../lib/pipeline/live-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { ObservedBatch } from '../detection/detection.ts'
import type { Episode } from '../detection/episode.ts'
import type { Event } from '../detection/event.ts'
import type { FeatureSchema } from '../detection/feature-schema.ts'
import type { Feedback } from '../detection/feedback.ts'
import type { ScoredRows } from '../detection/scored-rows.ts'
import { spanOf } from '../detection/time-span.ts'
import type { EventReference, Verdict } from '../detection/verdict.ts'
import type { Scorer } from '../scoring/scorer.ts'
import type { StreamHandler } from '../streams/stream.ts'
import { deadLetterHeaders } from '../wire/dead-letter.ts'
import { createDecode, type Decode, type Decoded, isEvent, isRejection, type Origin } from '../wire/decode.ts'
import type { FeatureOptions } from '../wire/event-fields.ts'
import { EventTemplate } from '../wire/event-template.ts'
import { type ParsedBody, parseBody } from '../wire/json-body.ts'
import { pipelineHeader } from '../wire/pipeline-header.ts'
import type { Rejection } from '../wire/rejection.ts'
import { verdictBytes, verdictJson } from '../wire/verdict-bytes.ts'
import type { Partition } from './partition.ts'
import type { Partitions } from './partitions.ts'
import { catchUp, type PublishedPast } from './published-past.ts'

/** What became of a record. */
export type Outcome = Verdict | Rejection

export function isVerdict(outcome: Outcome): outcome is Verdict {
  return 'isAnomaly' in outcome
}

/** A batch that was judged: what came of each record that is an event, in order. */
export interface ProcessedBatch {
  readonly batch: RecordBatch
  readonly outcomes: readonly Outcome[]
  /** The decoded event of each record; undefined for one that could not be read. */
  readonly events: readonly (Event | undefined)[]
  /** What was said of verdicts in it; absent where nothing was. */
  readonly said?: readonly Feedback[] | undefined
  /** The verdict of each record as it is published, JSON; undefined where none is, and where verdicts are bytes. */
  readonly published: readonly (string | undefined)[]
  /** How many of the events did not come after their keys' latest: their times say nothing of their intervals. */
  readonly late: number
  /** What became of episodes, in order. */
  readonly episodes: readonly Episode[]
  /** How many of the verdicts came with their events. */
  readonly given: number
  /** When the batch was read, by the clock, in ms; undefined without one. */
  readonly began: number | undefined
  /** Time from the records to their verdicts, in ms; undefined without a clock. */
  readonly took: number | undefined
}

/** What is said of events after they were judged, in the order of the stream. */
export interface FeedbackSource {
  /** An event comes. Answers whether something is said before it of events that came earlier. */
  comes(event: Event, record: StreamRecord): boolean
  /** What that is, after those were judged. */
  take(): readonly Feedback[]
  judged(verdict: Verdict, event: Event): void
}

export interface ProcessorOptions {
  readonly pipeline: Pipeline
  /** The part of it that may change meanwhile. */
  readonly live?: LivePipeline | undefined
  readonly schema: FeatureSchema
  readonly scorer: Scorer
  /**
   * Makes new features part of the schema; afterwards `schema` knows them.
   * @param before time of the event before the one that brings them, ms since 1970; NaN where it has none
   */
  readonly extendSchema: (names: readonly string[], before: number) => Promise<void> | void
  readonly originOf: (record: StreamRecord, batch: RecordBatch) => Origin
  /** The body of a record; as JSON if absent. */
  readonly parse?: ((record: StreamRecord) => ParsedBody) | undefined
  /** What `parse` needs to know before it is asked about a batch. */
  readonly prepare?: ((batch: RecordBatch, signal: AbortSignal | undefined) => Promise<void>) | undefined
  /** A record that is known to be unreadable. */
  readonly rejectionOf?: (record: StreamRecord) => Rejection | undefined
  readonly decode?: FeatureOptions
  readonly partitions: Partitions
  /** The verdict that an event was given already, as JSON: it is published in place of a second one. */
  readonly givenVerdict?: ((record: StreamRecord, event: Event, batch: RecordBatch) => string | undefined) | undefined
  /** What leads from the verdict that is published back to its event; undefined where nobody will ask. */
  readonly referenceOf?:
    | ((record: StreamRecord, event: Event, batch: RecordBatch) => EventReference | undefined)
    | undefined
  /** Where kept episodes may be older than what was published. */
  readonly past?: PublishedPast | undefined
  /** What somebody said of an event, where the record is that and no event. */
  readonly feedbackOf?: ((record: StreamRecord) => Feedback | Rejection | undefined) | undefined
  /** What is said of past events at their time, where the labels are known. */
  readonly feedback?: FeedbackSource | undefined
  /** Monotonic time in ms; without it verdicts say nothing of the time that they took. */
  readonly clock?: () => number
  /** Waits before the next attempt where the pipeline is to wait for its model. */
  readonly pause?: (attempt: number, signal: AbortSignal | undefined) => Promise<void>
  /** Verdicts are published as bytes, which is cheaper for a process that only sends them. */
  readonly asBytes?: boolean
  /** Told of each batch when it is judged; what it answers with is called when the batch takes effect, and kept until then. */
  readonly observer?: (processed: ProcessedBatch) => () => void
}

/** The batches of a partition that are in hand. */
interface InHand {
  /** Called when they are committed. */
  readonly pending: (() => void)[]
  /** Each key's last event in them that carried features. */
  last: Map<string, Event>
}

/** The way of a batch from records to verdicts, whatever the stream, the state and the models are made of. */
export class Processor implements StreamHandler {
  readonly #options: ProcessorOptions
  readonly #decode: Decode
  readonly #parse: (record: StreamRecord) => ParsedBody
  /** Where records come as bytes. */
  readonly #template: EventTemplate | undefined
  readonly #inHand = new Map<number, InHand>()
  /** Time of the last event that was read. */
  #before = Number.NaN
  /** Names of the features that are made of what came before. */
  readonly #derived: readonly string[]
  /** Events of an earlier time are history: learnt, and no alerts. */
  readonly #liveFrom: number
  /** Headers of what is published. */
  readonly #named: Headers

  constructor(options: ProcessorOptions) {
    this.#options = options
    this.#named = pipelineHeader(options.pipeline.metadata.name)
    const { learnOnlyBefore } = options.pipeline.spec.source
    this.#liveFrom = learnOnlyBefore === undefined ? Number.NEGATIVE_INFINITY : Date.parse(learnOnlyBefore)
    this.#derived = options.pipeline.spec.detection.derivedFeatures?.map(({ name }) => name) ?? []
    this.#decode = createDecode(options.pipeline.spec.event, options.schema, options.decode)
    this.#parse = options.parse ?? (({ value }) => parseBody(value))
    if (options.parse === undefined)
      this.#template = new EventTemplate(options.pipeline.spec.event, options.schema, options.decode)
  }

  async assigned(partition: number): Promise<void> {
    await this.#options.partitions.assigned(partition)
    // What is staged stays staged: whether it was committed may still be unknown.
    if (!this.#inHand.has(partition)) this.#inHand.set(partition, { pending: [], last: new Map() })
  }

  async batch(batch: RecordBatch, signal?: AbortSignal): Promise<readonly OutgoingRecord[]> {
    const inHand = this.#inHand.get(batch.partition)
    if (inHand === undefined) throw new AppError('Internal', `partition ${batch.partition} was not assigned`)
    const { clock } = this.#options
    const began = clock?.()
    if (this.#options.prepare !== undefined) await this.#options.prepare(batch, signal)
    let late = 0
    if (this.#derived.some((name) => this.#options.schema.indexOf(name) === undefined))
      await this.#extend(this.#derived)
    let { records } = batch
    const memory = this.#memoryOf(batch.partition)
    const { feedback, feedbackOf } = this.#options
    let outcomes: Outcome[] = new Array(records.length)
    let eventOf: (Event | undefined)[] = new Array(records.length)
    /** By the place of the record, which is no event. */
    let saidAt: Map<number, Feedback> | undefined
    let events: Event[] = []
    let places: number[] = []
    let inCalendar = false
    const judge = async () => {
      const judged = await this.#judge(batch.partition, events, signal)
      late += judged.late
      for (const [v, verdict] of judged.verdicts.entries()) {
        outcomes[places[v]!] = verdict
        feedback?.judged(verdict, events[v]!)
      }
      events = []
      places = []
    }
    for (let i = 0; i < records.length; i++) {
      const record = records[i]!
      const said = feedbackOf?.(record)
      if (said !== undefined) {
        if ('reason' in said) outcomes[i] = said
        else {
          if (events.length > 0) await judge()
          await this.#learn(batch.partition, said)
          saidAt ??= new Map()
          saidAt.set(i, said)
        }
        continue
      }
      let decoded = this.#read(record, batch)
      if ('unknown' in decoded) {
        // New columns begin with the event that brings them, so that results do not depend on where batches are cut.
        if (events.length > 0) await judge()
        decoded = await this.#readWith(decoded.unknown, record, batch)
      }
      if (isRejection(decoded)) outcomes[i] = decoded
      else {
        if (feedback?.comes(decoded, record)) {
          if (events.length > 0) await judge()
          for (const one of feedback.take()) await this.#learn(batch.partition, one)
        }
        const isInCalendar = memory.isInCalendar(decoded.time)
        if (events.length > 0 && isInCalendar !== inCalendar) await judge()
        inCalendar = isInCalendar
        eventOf[i] = decoded
        this.#before = decoded.time
        events.push(decoded)
        places.push(i)
      }
    }
    await judge()
    if (saidAt !== undefined) {
      records = without(saidAt, records)
      outcomes = without(saidAt, outcomes)
      eventOf = without(saidAt, eventOf)
    }

    const { givenVerdict, referenceOf, asBytes, observer } = this.#options
    const { results, event } = this.#options.pipeline.spec
    const isRecordKey = event.key === '$key'
    const took = began === undefined ? undefined : clock!() - began
    const produced: OutgoingRecord[] = []
    const episodes: Episode[] = []
    const open = memory.episodes
    const { past } = this.#options
    if (past !== undefined && memory.isLoaded && batch.records.length > 0)
      await catchUp(open, {
        past,
        partition: batch.partition,
        to: batch.records[0]!.offset,
        eventsOf: (missed) => this.#eventsOf(missed, batch),
        isUnpublished: ({ time }) => results.publish === 'Anomalies' && time >= this.#liveFrom,
      })
    const published: (string | undefined)[] = new Array(records.length)
    let rejected = 0
    let given = 0
    for (let i = 0; i < records.length; i++) {
      let verdict = outcomes[i]!
      if (!isVerdict(verdict)) {
        rejected++
        continue
      }
      const json = givenVerdict?.(records[i]!, eventOf[i]!, batch)
      if (json !== undefined) {
        given++
        outcomes[i] = verdict = JSON.parse(json) as Verdict
      } else if (eventOf[i]!.time < this.#liveFrom) {
        if (verdict.isAnomaly) outcomes[i] = verdict = { ...verdict, isAnomaly: false, suppressedBy: 'Learning' }
        if (results.publishHistory !== 'Enabled') continue
      }
      open.add(verdict, episodes)
      if (results.publish === 'Anomalies' && !verdict.isAnomaly) continue
      let value: string | Buffer
      const reference = json === undefined ? referenceOf?.(records[i]!, eventOf[i]!, batch) : undefined
      if (json === undefined && asBytes === true) value = verdictBytes(verdict, took, reference)
      else value = published[i] = json ?? verdictJson(verdict, took, reference)
      const traceparent = records[i]!.headers?.traceparent
      produced.push({
        topic: results.topic,
        key: isRecordKey ? records[i]!.key : verdict.userId,
        value,
        // Mostly one and the same object, which is encoded once.
        headers: traceparent === undefined ? this.#named : { ...this.#named, traceparent },
      })
    }
    if (rejected > 0) {
      for (let i = 0; i < records.length; i++) {
        const outcome = outcomes[i]!
        if (!isVerdict(outcome) && outcome.reason !== 'Tombstone')
          produced.push(this.#deadLetter(records[i]!, batch, outcome))
      }
    }
    for (const episode of episodes) {
      if (results.episodesTopic === undefined) break
      // Those of the stream lie together as those of a key do.
      const key = episode.userId ?? episode.episodeId
      const value = JSON.stringify(episode)
      produced.push({ topic: results.episodesTopic, key, value, headers: this.#named })
    }
    if (past !== undefined && batch.records.length > 0)
      open.moveTo({ next: batch.records.at(-1)!.offset + 1, at: past.wall() })
    for (const event of eventOf) {
      if (event === undefined || !hasFeatures(event)) continue
      inHand.last.set(event.key, event)
      this.#options.schema.use(event.features)
    }
    if (observer !== undefined)
      inHand.pending.push(
        observer({
          batch: { ...batch, records },
          outcomes,
          events: eventOf,
          ...(saidAt && { said: [...saidAt.values()] }),
          published,
          episodes,
          late,
          given,
          began,
          took,
        }),
      )
    return produced
  }

  committed(partition: number): void {
    const inHand = this.#inHand.get(partition)
    if (inHand === undefined) return
    const { last } = inHand
    inHand.last = new Map()
    this.#options.partitions.committed(partition, last)
    for (const done of inHand.pending.splice(0)) done()
  }

  dropped(partition: number): void {
    const inHand = this.#inHand.get(partition)
    if (inHand === undefined) return
    inHand.pending.length = 0
    inHand.last = new Map()
    this.#options.partitions.dropped(partition)
  }

  async releasing(partitions: readonly number[]): Promise<void> {
    await this.#options.partitions.releasing(partitions)
  }

  revoked(partition: number): void {
    this.#inHand.delete(partition)
    this.#options.partitions.revoked(partition)
  }

  #read(record: StreamRecord, batch: RecordBatch): Decoded {
    const rejection = this.#options.rejectionOf?.(record)
    if (rejection !== undefined) return rejection
    const origin = this.#options.originOf(record, batch)
    const { value } = record
    const bytes = Buffer.isBuffer(value) ? value : undefined
    const quickly = bytes === undefined ? undefined : this.#template?.read(bytes, origin)
    if (quickly !== undefined) return quickly
    const decoded = this.#decodeBody(record, origin)
    if (bytes !== undefined && isEvent(decoded)) this.#template?.learn(bytes)
    return decoded
  }

  #decodeBody(record: StreamRecord, origin: Origin): Decoded {
    const body = this.#parse(record)
    return 'reason' in body ? body : this.#decode(body.value, origin, body.json)
  }

  /** Reads an event that brings features which the schema lacks: makes them part of it first. */
  async #readWith(unknown: readonly string[], record: StreamRecord, batch: RecordBatch): Promise<Event | Rejection> {
    await this.#extend(unknown)
    const { id, source, recordKey, arrival, latest, text, headers } = this.#options.originOf(record, batch)
    const origin = { id, source, recordKey, arrival, latest, text, headers, knownOnly: true }
    const decoded = this.#decodeBody(record, origin)
    if (isEvent(decoded) || isRejection(decoded)) return decoded
    throw new AppError('Internal', `${decoded.unknown.join(', ')} should have been left aside`)
  }

  async #extend(names: readonly string[]): Promise<void> {
    try {
      await this.#options.extendSchema(names, this.#before)
    } catch (error) {
      // While the store is away, events are judged by the features that are known.
      if (!(error instanceof AppError && error.retriable)) throw error
    }
  }

  async #learn(partition: number, feedback: Feedback): Promise<void> {
    const { partitions } = this.#options
    await partitions.begin(partition, [feedback])
    partitions.of(partition)!.learn(feedback)
  }

  async #judge(
    partition: number,
    events: readonly Event[],
    signal: AbortSignal | undefined,
  ): Promise<{ readonly verdicts: readonly Verdict[]; readonly late: number }> {
    const hasState = await this.#options.partitions.begin(partition, events)
    const memory = this.#memoryOf(partition)
    const observed = memory.observe(events)
    const scored = events.length === 0 ? undefined : await this.#score(memory, observed, signal)
    const verdicts = memory.decide(observed, scored, hasState ? undefined : 'StateUnavailable')
    return { verdicts, late: observed.late }
  }

  #memoryOf(partition: number): Partition {
    const { partitions, live } = this.#options
    const memory = partitions.of(partition)!
    if (live !== undefined) memory.use(live.detection)
    return memory
  }

  async #score(
    memory: Partition,
    { rows, columns, keyIds, events, scoreOnly }: ObservedBatch,
    signal: AbortSignal | undefined,
  ): Promise<ScoredRows | undefined> {
    if (memory.modelNames.length === 0) return undefined
    const { pipeline, scorer, pause } = this.#options
    const times = spanOf(events)
    for (let attempt = 0; ; attempt++) {
      try {
        return await scorer.score(
          { rows, columns, keyIds, count: events.length, explainFrom: memory.explainFrom, scoreOnly, times },
          { signal },
        )
      } catch (error) {
        if (signal?.aborted === true || !(error instanceof AppError && error.retriable)) throw error
        if (pipeline.spec.detection.onModelUnavailable === 'Degrade' || pause === undefined) return undefined
        await pause(attempt, signal)
      }
    }
  }

  /** The events among records that were judged before. */
  async #eventsOf(records: readonly StreamRecord[], batch: RecordBatch): Promise<Event[]> {
    const events: Event[] = []
    for (const record of records) {
      let decoded = this.#read(record, batch)
      if ('unknown' in decoded) decoded = await this.#readWith(decoded.unknown, record, batch)
      if (isEvent(decoded)) events.push(decoded)
    }
    return events
  }

  #deadLetter(record: StreamRecord, batch: RecordBatch, rejection: Rejection): OutgoingRecord {
    return {
      topic: this.#options.pipeline.spec.results.deadLetterTopic,
      key: record.key,
      value: record.value,
      headers: deadLetterHeaders(record.headers, {
        reason: rejection.reason,
        message: rejection.message,
        topic: batch.topic,
        partition: batch.partition,
        offset: record.offset,
      }),
    }
  }
}

/** The list without what is at these places; what is undefined in it stays. */
function without<T>(places: ReadonlyMap<number, unknown>, list: readonly T[]): T[] {
  return Array.from(list).filter((_, i) => !places.has(i))
}

function hasFeatures({ features }: Event): boolean {
  for (let i = 0; i < features.length; i++) if (!Number.isNaN(features[i]!)) return true
  return false
}

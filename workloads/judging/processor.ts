import { AppError, messageOf } from '../../lib/errors.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { Detection, defaultStateBytes, type ObservedBatch } from '../detection/detection.ts'
import type { Event } from '../detection/event.ts'
import type { FeatureSchema } from '../detection/feature-schema.ts'
import type { ScoredRows } from '../detection/scored-rows.ts'
import { type Verdict, verdictBytes, verdictJson } from '../detection/verdict.ts'
import type { Scorer } from '../scoring/scorer.ts'
import type { OutgoingRecord, RecordBatch, StreamHandler, StreamRecord } from '../streams/stream.ts'
import {
  createDecode,
  type Decode,
  type Decoded,
  type DecodeOptions,
  isEvent,
  isRejection,
  type Origin,
  type Rejection,
} from '../wire/decode.ts'
import { EventTemplate } from '../wire/event-template.ts'
import type { KeptState } from './kept-state.ts'

/** What became of a record. */
export type Outcome = Verdict | Rejection

export function isVerdict(outcome: Outcome): outcome is Verdict {
  return 'isAnomaly' in outcome
}

/** A batch that was judged: what came of each record, in order. */
export interface ProcessedBatch {
  readonly batch: RecordBatch
  readonly outcomes: readonly Outcome[]
  /** The decoded event of each record; undefined for one that could not be read. */
  readonly events: readonly (Event | undefined)[]
  /** The verdict of each record as it is published, JSON; undefined where none is, and where verdicts are bytes. */
  readonly published: readonly (string | undefined)[]
  /** Time from the records to their verdicts, in ms; undefined without a clock. */
  readonly took: number | undefined
}

export interface ProcessorOptions {
  readonly pipeline: Pipeline
  readonly schema: FeatureSchema
  readonly scorer: Scorer
  /** Makes new features part of the schema, for good; afterwards `schema` knows them. */
  readonly extendSchema: (names: readonly string[]) => Promise<void> | void
  readonly originOf: (record: StreamRecord, batch: RecordBatch) => Origin
  /** The parsed body of a record. @throws SyntaxError where it cannot be parsed */
  readonly parse?: (record: StreamRecord) => unknown
  /** A record that is known to be unreadable. */
  readonly rejectionOf?: (record: StreamRecord) => Rejection | undefined
  readonly decode?: DecodeOptions
  /** Memory for the state of all keys, in bytes; partitions share it evenly. 1 GiB if absent. */
  readonly stateBytes?: number | undefined
  /** Where state outlives the process; absent: memory is all there is. Batches can then be undone. */
  readonly kept?: KeptState | undefined
  /** The verdict that an event was given already, as JSON: it is published in place of a second one. */
  readonly givenVerdict?: ((record: StreamRecord, event: Event, batch: RecordBatch) => string | undefined) | undefined
  /** Monotonic time in ms; without it verdicts say nothing of the time that they took. */
  readonly clock?: () => number
  /** Waits before the next attempt where the pipeline is to wait for its model. */
  readonly pause?: (attempt: number, signal: AbortSignal | undefined) => Promise<void>
  /** Verdicts are published as bytes: cheaper for who only sends them. */
  readonly asBytes?: boolean
  /** Told of each batch when it is judged; what it answers with is called when the batch takes effect, and kept until then. */
  readonly observer?: (processed: ProcessedBatch) => () => void
}

interface PartitionWork {
  detection: Detection
  /** Between being observed and being decided, a batch needs its keys where they are. */
  isObserved: boolean
  /** What is to be done when the batches in hand are committed. */
  readonly pending: (() => void)[]
  /** Each key's last event in them that carried features. */
  last: Map<string, Event>
}

/** The way of a batch from records to verdicts, whatever the stream, the state and the models are made of. */
export class Processor implements StreamHandler {
  readonly #options: ProcessorOptions
  readonly #decode: Decode
  readonly #parse: (record: StreamRecord) => unknown
  /** Where records come as bytes. */
  readonly #template: EventTemplate | undefined
  readonly #partitions = new Map<number, PartitionWork>()

  constructor(options: ProcessorOptions) {
    this.#options = options
    this.#decode = createDecode(options.pipeline.spec.event, options.schema, options.decode)
    this.#parse = options.parse ?? parseJson
    if (options.parse === undefined)
      this.#template = new EventTemplate(options.pipeline.spec.event, options.schema, options.decode)
  }

  /** Keys whose state is in memory, over all partitions. */
  get keys(): number {
    let keys = 0
    for (const { detection } of this.#partitions.values()) keys += detection.keys
    return keys
  }

  async assigned(partition: number): Promise<void> {
    const { pipeline, schema, kept } = this.#options
    const make = () =>
      new Detection(pipeline, {
        schema,
        staged: kept !== undefined,
        onEvict: kept === undefined ? undefined : (key) => kept.onEvict(partition, key),
      })
    const detection = kept === undefined ? make() : await kept.assigned(partition, make)
    // What is staged stays staged: whether it was committed may still be unknown.
    const { pending = [], last = new Map() } = this.#partitions.get(partition) ?? {}
    this.#partitions.set(partition, { detection, isObserved: false, pending, last })
    for (const [other, work] of this.#partitions)
      if (!work.isObserved) (kept?.detectionOf(other) ?? work.detection).limitState(this.#stateBytesEach)
  }

  async batch(batch: RecordBatch, signal?: AbortSignal): Promise<readonly OutgoingRecord[]> {
    const work = this.#partitions.get(batch.partition)
    if (work === undefined) throw new AppError('Internal', `partition ${batch.partition} was not assigned`)
    const { clock } = this.#options
    const began = clock?.()
    const { records } = batch
    const outcomes: Outcome[] = new Array(records.length)
    const eventOf: (Event | undefined)[] = new Array(records.length)
    let events: Event[] = []
    let places: number[] = []
    const judge = async () => {
      const verdicts = await this.#judge(work, batch.partition, events, signal)
      for (const [v, verdict] of verdicts.entries()) outcomes[places[v]!] = verdict
      events = []
      places = []
    }
    for (let i = 0; i < records.length; i++) {
      const record = records[i]!
      let decoded = this.#read(record, batch)
      if ('unknown' in decoded) {
        // New columns begin with the event that brings them, so that results do not depend on where batches are cut.
        if (events.length > 0) await judge()
        decoded = await this.#readWith(decoded.unknown, record, batch)
      }
      if (isRejection(decoded)) outcomes[i] = decoded
      else {
        eventOf[i] = decoded
        events.push(decoded)
        places.push(i)
      }
    }
    await judge()

    const { givenVerdict, asBytes, kept, observer } = this.#options
    const { results } = this.#options.pipeline.spec
    const took = began === undefined ? undefined : clock!() - began
    const produced: OutgoingRecord[] = []
    const published: (string | undefined)[] = new Array(records.length)
    let rejected = 0
    for (let i = 0; i < records.length; i++) {
      const verdict = outcomes[i]!
      if (!isVerdict(verdict)) {
        rejected++
        continue
      }
      const given = givenVerdict?.(records[i]!, eventOf[i]!, batch)
      const isAnomaly = given === undefined ? verdict.isAnomaly : (JSON.parse(given) as Verdict).isAnomaly
      if (results.publish === 'Anomalies' && !isAnomaly) continue
      let value: string | Buffer
      if (given === undefined && asBytes === true) value = verdictBytes(verdict, took)
      else value = published[i] = given ?? verdictJson(verdict, took)
      const traceparent = records[i]!.headers?.traceparent
      produced.push({
        topic: results.topic,
        key: verdict.userId,
        value,
        ...(traceparent === undefined ? undefined : { headers: { traceparent } }),
      })
    }
    if (rejected > 0) {
      for (let i = 0; i < records.length; i++) {
        const outcome = outcomes[i]!
        if (!isVerdict(outcome)) produced.push(this.#deadLetter(records[i]!, batch, outcome))
      }
    }
    if (kept !== undefined)
      for (const event of eventOf) if (event !== undefined && hasFeatures(event)) work.last.set(event.key, event)
    if (observer !== undefined) work.pending.push(observer({ batch, outcomes, events: eventOf, published, took }))
    return produced
  }

  committed(partition: number): void {
    const work = this.#partitions.get(partition)
    if (work === undefined) return
    const { last } = work
    work.last = new Map()
    this.#options.kept?.committed(partition, work.detection.commit(), last)
    for (const done of work.pending.splice(0)) done()
  }

  dropped(partition: number): void {
    const work = this.#partitions.get(partition)
    if (work === undefined) return
    work.pending.length = 0
    work.last = new Map()
    work.detection.rollback()
    this.#options.kept?.dropped(partition)
  }

  async releasing(partitions: readonly number[]): Promise<void> {
    await this.#options.kept?.releasing(partitions)
  }

  revoked(partition: number): void {
    this.#partitions.delete(partition)
    this.#options.kept?.revoked(partition)
  }

  #read(record: StreamRecord, batch: RecordBatch): Decoded {
    const rejection = this.#options.rejectionOf?.(record)
    if (rejection !== undefined) return rejection
    const origin = this.#options.originOf(record, batch)
    const { value } = record
    const bytes = Buffer.isBuffer(value) ? value : undefined
    const quickly = bytes === undefined ? undefined : this.#template?.read(bytes, origin)
    if (quickly !== undefined) return quickly
    let body: unknown
    try {
      body = this.#parse(record)
    } catch (error) {
      return { reason: 'MalformedJson', message: messageOf(error) }
    }
    const decoded = this.#decode(body, origin)
    if (bytes !== undefined && isEvent(decoded)) this.#template?.learn(bytes)
    return decoded
  }

  /** Reads an event that brings features which the schema lacks: makes them part of it first. */
  async #readWith(unknown: readonly string[], record: StreamRecord, batch: RecordBatch): Promise<Event | Rejection> {
    let knownOnly = false
    try {
      await this.#options.extendSchema(unknown)
    } catch (error) {
      if (!(error instanceof AppError && error.retriable)) throw error
      // While the store is away, the event is judged by the features that are known.
      knownOnly = true
    }
    const { id, source, recordKey, arrival, latest, text = false } = this.#options.originOf(record, batch)
    const origin = { id, source, recordKey, arrival, latest, text, knownOnly }
    const decoded = this.#decode(this.#parse(record), origin)
    if (isEvent(decoded) || isRejection(decoded)) return decoded
    return { reason: 'TooManyFeatures', message: `the schema has no room for ${decoded.unknown.join(', ')}` }
  }

  async #judge(
    work: PartitionWork,
    partition: number,
    events: readonly Event[],
    signal: AbortSignal | undefined,
  ): Promise<readonly Verdict[]> {
    const { kept } = this.#options
    const hasState = kept === undefined || (await kept.begin(partition, events))
    if (kept !== undefined) work.detection = kept.detectionOf(partition)!
    work.detection.limitState(this.#stateBytesEach)
    const observed = work.detection.observe(events)
    work.isObserved = true
    try {
      const scored = events.length === 0 ? undefined : await this.#score(work.detection, observed, signal)
      return work.detection.decide(observed, scored, hasState ? undefined : 'StateUnavailable')
    } finally {
      work.isObserved = false
    }
  }

  get #stateBytesEach(): number {
    return (this.#options.stateBytes ?? defaultStateBytes) / this.#partitions.size
  }

  async #score(
    detection: Detection,
    { rows, columns, events }: ObservedBatch,
    signal: AbortSignal | undefined,
  ): Promise<ScoredRows | undefined> {
    if (detection.modelNames.length === 0) return undefined
    const { pipeline, scorer, pause } = this.#options
    for (let attempt = 0; ; attempt++) {
      try {
        return await scorer.score(
          { rows, columns, count: events.length, explainFrom: detection.explainFrom },
          { signal },
        )
      } catch (error) {
        if (signal?.aborted === true || !(error instanceof AppError && error.retriable)) throw error
        if (pipeline.spec.detection.onModelUnavailable === 'Degrade' || pause === undefined) return undefined
        await pause(attempt, signal)
      }
    }
  }

  #deadLetter(record: StreamRecord, batch: RecordBatch, rejection: Rejection): OutgoingRecord {
    return {
      topic: this.#options.pipeline.spec.results.deadLetterTopic,
      key: record.key,
      value: record.value,
      headers: {
        ...record.headers,
        reason: rejection.reason,
        message: rejection.message,
        topic: batch.topic,
        partition: String(batch.partition),
        offset: String(record.offset),
      },
    }
  }
}

function parseJson(record: StreamRecord): unknown {
  return JSON.parse(String(record.value ?? 'null'))
}

function hasFeatures({ features }: Event): boolean {
  for (let i = 0; i < features.length; i++) if (!Number.isNaN(features[i]!)) return true
  return false
}

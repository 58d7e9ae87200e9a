import { oldestOf } from '../../lib/oldest-of.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { Verdict } from '../detection/verdict.ts'
import { type InputRecord, recordAt } from '../files/input-record.ts'
import { apiSource, type LocalPipeline } from '../judging/local-pipeline.ts'
import { isVerdict, type Outcome, type ProcessedBatch } from '../judging/processor.ts'
import {
  DetectError,
  type DetectionDoor,
  type DetectOutcome,
  type EventBody,
  type Health,
  idReused,
} from '../rest/door.ts'
import { fingerprintOf } from '../rest/fingerprint.ts'
import { createMemorySaid } from '../state/said.ts'
import { type FieldReader, fieldReader } from '../wire/event-fields.ts'
import { feedbackOf } from '../wire/feedback-record.ts'
import { writtenNumber } from '../wire/json-body.ts'
import { verdictJson } from '../wire/verdict-bytes.ts'

export interface LocalDoorOptions {
  /** Verdicts kept for GET /api/v1/results and for calls that come a second time. */
  readonly maxResults?: number
  /** Records that may wait before requests are turned away. */
  readonly maxWaiting?: number
}

interface DoorRecord extends InputRecord {
  /** Of the body, where the event has an id of its own. */
  readonly fingerprint: string | undefined
  readonly answer: (outcome: DetectOutcome) => void
}

/** A verdict that was given; without a fingerprint where its event came by another way. */
interface Result {
  readonly json: string
  readonly fingerprint: string | undefined
}

interface Underway {
  readonly fingerprint: string
  readonly outcome: Promise<DetectOutcome>
}

export interface LocalDoor extends DetectionDoor {
  /** To be told of every batch that took effect. */
  observe(processed: ProcessedBatch): void
  /** Nothing is judged any more: whoever waits, or comes later, is turned away. */
  fail(error: unknown): void
}

/** The REST door of one process: its events join the stream, and the answer is the verdict that they get there. */
export function createLocalDoor(
  pipeline: Pipeline,
  local: () => LocalPipeline,
  { maxResults = 100_000, maxWaiting = 20_000 }: LocalDoorOptions = {},
): LocalDoor {
  const results = new Map<string, Result>()
  const oldestResult = oldestOf(results)
  const said = createMemorySaid()
  const underway = new Map<string, Underway>()
  const readId = fieldReader(pipeline.spec.event.id)
  /** How to turn away who waits for an answer. */
  const waiting = new Set<(error: DetectError) => void>()
  let failure: DetectError | undefined
  let row = 0

  function remember(eventId: string, result: Result): void {
    results.delete(eventId)
    results.set(eventId, result)
    if (results.size > maxResults) results.delete(oldestResult()!)
  }

  function submit({ text, value: body }: EventBody, fingerprint?: string): Promise<DetectOutcome> {
    return new Promise((resolve, reject) => {
      if (failure !== undefined) return reject(failure)
      waiting.add(reject)
      const answer = (outcome: DetectOutcome) => {
        waiting.delete(reject)
        resolve(outcome)
      }
      const record: Omit<DoorRecord, 'offset'> = {
        key: null,
        value: text,
        timestamp: Number.NaN,
        source: apiSource,
        row: ++row,
        line: 0,
        body,
        fingerprint,
        answer,
      }
      local().stream.append(record)
    })
  }

  function detectOne(body: EventBody): Promise<DetectOutcome> {
    const id = idOf(body, readId)
    if (id === undefined) return submit(body)
    const fingerprint = fingerprintOf(body)
    const earlier = results.get(id) ?? underway.get(id)
    if (earlier !== undefined && (earlier.fingerprint ?? fingerprint) !== fingerprint)
      return Promise.resolve(idReused(id))
    if (earlier !== undefined && 'json' in earlier)
      return Promise.resolve({ kind: 'verdict', json: earlier.json, replayed: true })
    if (earlier !== undefined)
      return earlier.outcome.then((same) => (same.kind === 'verdict' ? { ...same, replayed: true } : same))
    const outcome = submit(body, fingerprint).finally(() => underway.delete(id))
    underway.set(id, { fingerprint, outcome })
    return outcome
  }

  return {
    detect(bodies) {
      if (local().stream.waiting + bodies.length > maxWaiting)
        return Promise.reject(
          new DetectError('Nothing', `${local().stream.waiting} events wait already; try again later`),
        )
      return Promise.all(bodies.map(detectOne))
    },
    async result(eventId) {
      return results.get(eventId)?.json
    },
    feedback:
      pipeline.spec.detection.feedback &&
      (async (given) => {
        if (failure !== undefined) throw failure
        const known = results.get(given.eventId)
        const verdict = given.verdict ?? (known && (JSON.parse(known.json) as Verdict))
        if (verdict === undefined) return false
        const names = pipeline.spec.event.secondaryKeys
        const feedback = feedbackOf(given, verdict, { now: Date.now(), names })
        local().stream.append({ ...recordAt({ source: apiSource, row: ++row, line: 0 }, null), feedback })
        return true
      }),
    said: pipeline.spec.detection.feedback && said.list,
    health(): Health {
      const { modelVersion } = local().scorer
      const status = failure === undefined ? 'UP' : 'DOWN'
      return {
        status,
        components: { stream: { status, details: { waiting: local().stream.waiting } } },
        modelVersion,
      }
    },
    fail(error) {
      failure = new DetectError('Nothing', 'the pipeline has stopped', { cause: error })
      const unknown = new DetectError('Unknown', 'the pipeline has stopped', { cause: error })
      for (const reject of waiting) reject(unknown)
      waiting.clear()
    },
    observe({ batch, outcomes, published, took, said: learnt = [] }) {
      void said.put(learnt)
      for (const [i, outcome] of outcomes.entries()) {
        const record = batch.records[i] as InputRecord | DoorRecord
        if (!('answer' in record)) {
          if (isVerdict(outcome) && outcome.isAnomaly)
            remember(outcome.eventId, { json: published[i]!, fingerprint: undefined })
          continue
        }
        const answer = answerOf(outcome, published[i], took)
        if (answer.kind === 'verdict' && isVerdict(outcome)) {
          const { fingerprint } = record
          remember(outcome.eventId, { json: answer.json, fingerprint })
        }
        record.answer(answer)
      }
    },
  }
}

function answerOf(outcome: Outcome, published: string | undefined, took: number | undefined): DetectOutcome {
  if (isVerdict(outcome)) return { kind: 'verdict', json: published ?? verdictJson(outcome, took), replayed: false }
  const { reason, field, message } = outcome
  return { kind: 'rejected', reason, message, ...(field === undefined ? undefined : { field }) }
}

function idOf({ text, value }: EventBody, readId: FieldReader): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const read = (body: unknown) => readId(body as Record<string, unknown>)
  const rounded = read(value)
  const id =
    typeof rounded === 'number' && !Number.isSafeInteger(rounded) ? writtenNumber(rounded, text, read) : rounded
  return typeof id === 'string' && id !== '' ? id : typeof id === 'number' ? String(id) : undefined
}

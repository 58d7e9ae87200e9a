import { AppError } from '../../lib/errors.ts'
import { oldestOf } from '../../lib/oldest-of.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { InputRecord } from '../files/input-record.ts'
import { apiSource, type LocalPipeline } from '../judging/local-pipeline.ts'
import { isVerdict, type Outcome, type ProcessedBatch } from '../judging/processor.ts'
import type { DetectionDoor, DetectOutcome, EventBody, Health } from '../rest/door.ts'
import { type FieldReader, fieldReader } from '../wire/event-fields.ts'
import { writtenNumber } from '../wire/json-body.ts'
import { verdictJson } from '../wire/verdict-bytes.ts'

export interface LocalDoorOptions {
  /** Verdicts kept for GET /api/v1/results and for calls that come a second time. */
  readonly maxResults?: number
  /** Records that may wait before requests are turned away. */
  readonly maxWaiting?: number
}

interface DoorRecord extends InputRecord {
  readonly answer: (outcome: DetectOutcome) => void
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
  const results = new Map<string, string>()
  const oldestResult = oldestOf(results)
  const underway = new Map<string, Promise<DetectOutcome>>()
  const readId = fieldReader(pipeline.spec.event.id)
  /** How to turn away who waits for an answer. */
  const waiting = new Set<(error: AppError) => void>()
  let failure: AppError | undefined
  let row = 0

  function remember(eventId: string, json: string): void {
    results.delete(eventId)
    results.set(eventId, json)
    if (results.size > maxResults) results.delete(oldestResult()!)
  }

  function submit({ text, value: body }: EventBody): Promise<DetectOutcome> {
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
        answer,
      }
      local().stream.append(record)
    })
  }

  function detectOne(body: EventBody): Promise<DetectOutcome> {
    const id = idOf(body, readId)
    if (id === undefined) return submit(body)
    const earlier = results.get(id)
    if (earlier !== undefined) return Promise.resolve({ kind: 'verdict', json: earlier, replayed: true })
    const same = underway.get(id)
    if (same !== undefined)
      return same.then((outcome) => (outcome.kind === 'verdict' ? { ...outcome, replayed: true } : outcome))
    const first = submit(body).finally(() => underway.delete(id))
    underway.set(id, first)
    return first
  }

  return {
    detect(bodies) {
      if (local().stream.waiting + bodies.length > maxWaiting)
        return Promise.reject(
          new AppError('Unavailable', `${local().stream.waiting} events wait already; try again later`),
        )
      return Promise.all(bodies.map(detectOne))
    },
    async result(eventId) {
      return results.get(eventId)
    },
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
      failure = new AppError('Unavailable', 'the pipeline has stopped', { cause: error })
      for (const reject of waiting) reject(failure)
      waiting.clear()
    },
    observe({ batch, outcomes, published, took }) {
      for (const [i, outcome] of outcomes.entries()) {
        const record = batch.records[i] as InputRecord | DoorRecord
        if (!('answer' in record)) {
          if (isVerdict(outcome) && outcome.isAnomaly) remember(outcome.eventId, published[i]!)
          continue
        }
        const answer = answerOf(outcome, published[i], took)
        if (answer.kind === 'verdict' && isVerdict(outcome)) remember(outcome.eventId, answer.json)
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

import { elementsOf } from '../wire/json-body.ts'
import type { DetectOutcome, DetectOutcomeFailed, EventBody } from './door.ts'
import { type Problem, problemOf, problemOfError, type Refusal } from './problem.ts'
import { parseJson } from './request-body.ts'

export const batchFormats = ['json', 'ndjson'] as const
export type BatchFormat = (typeof batchFormats)[number]

/** The events of one request, in order. */
export interface EventBatch {
  readonly format: BatchFormat
  /** Events and lines that are no JSON. */
  readonly size: number
  readonly bodies: readonly EventBody[]
  /** Lines that are no JSON, by their index. */
  readonly refused: ReadonlyMap<number, Refusal>
}

/** A JSON array, or NDJSON, where blank lines do not count. */
export function parseBatch(text: string, format: BatchFormat, maxEvents: number): EventBatch | Refusal {
  const batch = format === 'json' ? parseArray(text) : parseLines(text, maxEvents)
  if ('reason' in batch || batch.size <= maxEvents) return batch
  return { reason: 'TooManyEvents', message: `A batch has at most ${maxEvents} events` }
}

/** One item per event, in order and in the format of the request: its verdict, or a problem with its index. */
export function batchAnswer(batch: EventBatch, outcomes: readonly DetectOutcome[]): string {
  const items: string[] = []
  let next = 0
  for (let index = 0; index < batch.size; index++) {
    const outcome = batch.refused.get(index) ?? outcomes[next++]!
    items.push('json' in outcome ? outcome.json : JSON.stringify({ ...problemOfOutcome(outcome), index }))
  }
  if (batch.format === 'json') return `[${items.join(',')}]`
  return items.length === 0 ? '' : `${items.join('\n')}\n`
}

function problemOfOutcome(outcome: Refusal | DetectOutcomeFailed): Problem {
  return 'error' in outcome ? problemOfError(outcome.error) : problemOf(outcome)
}

function parseArray(text: string): EventBatch | Refusal {
  const parsed = parseJson(text)
  if ('reason' in parsed) return parsed
  if (!Array.isArray(parsed.value))
    return { reason: 'NotAnArray', message: 'A batch is a JSON array of events; one event goes to /api/v1/detect' }
  const { value } = parsed
  const bodies = elementsOf(text).map((element, i) => ({ text: element, value: value[i] }))
  return { format: 'json', size: bodies.length, bodies, refused: new Map() }
}

function parseLines(text: string, maxEvents: number): EventBatch {
  const bodies: EventBody[] = []
  const refused = new Map<number, Refusal>()
  let size = 0
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue
    if (size > maxEvents) break
    const parsed = parseJson(line)
    if ('reason' in parsed) refused.set(size, parsed)
    else bodies.push({ text: line.trim(), value: parsed.value })
    size++
  }
  return { format: 'ndjson', size, bodies, refused }
}

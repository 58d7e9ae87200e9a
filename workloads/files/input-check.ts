import { AppError } from '../../lib/errors.ts'
import { resolveFeatures } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { Event } from '../detection/event.ts'
import { FieldCensus } from '../wire/field-census.ts'
import { parseBody } from '../wire/json-body.ts'
import type { Rejection } from '../wire/rejection.ts'
import type { InputRecord } from './input-record.ts'
import { countReason } from './rejects.ts'

/** Watches whether the pipeline's fields are those of its input, and says so where they are not. */
export class InputCheck {
  readonly rejectedBy = new Map<string, number>()
  readonly #pipeline: Pipeline
  readonly #warn: (line: string) => void
  readonly #census: FieldCensus
  readonly #examples = new Map<string, string>()
  #events = 0
  #hasNumbers = false
  #hasWarned = false

  /** @param warn is told in a line of each field that nearly no event has */
  constructor(pipeline: Pipeline, warn: (line: string) => void) {
    this.#pipeline = pipeline
    this.#warn = warn
    this.#census = new FieldCensus(pipeline)
  }

  judged(record: InputRecord, event: Event): void {
    this.#events++
    this.#hasNumbers ||= !Number.isNaN(event.value) || event.features.some((feature) => !Number.isNaN(feature))
    this.#count(record)
  }

  rejected(record: InputRecord, { reason, message }: Rejection): void {
    countReason(this.rejectedBy, reason)
    if (!this.#examples.has(reason)) this.#examples.set(reason, `${reason} in row ${record.row}: ${message}`)
    this.#count(record)
  }

  /** Says what was not said yet. @throws AppError NothingJudged where there were events and none could be judged */
  finish(): void {
    if (this.#events > 0 ? this.#hasNumbers || !this.#looksForNumbers() : this.rejectedBy.size === 0) {
      this.#sayWarnings()
      return
    }
    const examples = [...this.#examples.values()]
    if (this.#events > 0) examples.unshift(`${this.#events} events without a number`)
    throw new AppError('NothingJudged', `nothing could be judged: ${this.#census.summary()}; ${examples.join('; ')}`)
  }

  #count(record: InputRecord): void {
    if (this.#census.isFull) return
    const parsed = record.body === undefined ? parseBody(record.value) : { value: record.body }
    if ('value' in parsed) this.#census.add(parsed.value)
    if (this.#census.isFull) this.#sayWarnings()
  }

  #sayWarnings(): void {
    if (this.#hasWarned) return
    this.#hasWarned = true
    for (const line of this.#census.warnings()) this.#warn(line)
  }

  #looksForNumbers(): boolean {
    const { event } = this.#pipeline.spec
    return event.categories === undefined && (event.value !== '' || resolveFeatures(event).type !== 'none')
  }
}

import { Counter, type Registry } from 'prom-client'
import type { Logger } from '../../lib/log.ts'

/** Names that are told of in `/status`, and how long. */
const most = 20
const forMs = 3_600_000

export interface NewFeaturesOptions {
  readonly registry: Registry
  readonly log: Logger
  /** Milliseconds since 1970. */
  readonly wall: () => number
}

/** Tells of features that a stream never had before: a log line, a metric, and for an hour in the status. */
export class NewFeatures {
  readonly #options: NewFeaturesOptions
  readonly #counter: Counter
  #seen: { readonly name: string; readonly at: number }[] = []

  constructor(options: NewFeaturesOptions) {
    this.#options = options
    this.#counter = new Counter({
      name: 'anomaly_new_features_total',
      help: 'Features that were seen for the first time',
      registers: [options.registry],
    })
  }

  announce(names: readonly string[]): void {
    if (names.length === 0) return
    const { log, wall } = this.#options
    this.#counter.inc(names.length)
    this.#seen = [...this.#seen, ...names.map((name) => ({ name, at: wall() }))].slice(-most)
    const shown = names.slice(0, most).join(', ')
    const rest = names.length > most ? ` and ${names.length - most} more` : ''
    log.info({ count: names.length }, `new feature seen: ${shown}${rest}`)
  }

  /** What was announced in the last hour, in words. */
  get lately(): readonly string[] {
    const since = this.#options.wall() - forMs
    return this.#seen.filter(({ at }) => at > since).map(({ name }) => `new feature seen: ${name}`)
  }
}

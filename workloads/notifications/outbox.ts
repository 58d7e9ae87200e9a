import type { Logger } from '../../lib/log.ts'
import { backoff, type Clock, sleep } from '../../lib/time.ts'
import type { Message } from './message.ts'
import type { NotificationMetrics } from './notification-metrics.ts'
import type { OutgoingRequest, Receiver } from './receiver.ts'
import { type Failure, type SendOptions, send } from './send.ts'

export interface OutboxOptions {
  /** Of the receiver, in the pipeline. */
  readonly name: string
  readonly receiver: Receiver
  readonly metrics: NotificationMetrics
  readonly clock: Clock
  readonly log: Logger
  /** Uniform in [0, 1). */
  readonly random?: (() => number) | undefined
  readonly send?: ((request: OutgoingRequest, options: SendOptions) => Promise<Failure | undefined>) | undefined
}

/** What comes in such a time is looked at together: what opens at once, on several partitions. */
const gatherMs = 1000
/** In such a time no more messages are told one by one than the receiver takes; the rest waits for its end. */
export const windowMs = 30_000
const retry = { baseMs: 1000, maxMs: 60_000 }
/** The longest that a receiver may ask to wait. */
const longestWaitMs = 600_000
/** A message that is older, and was tried so often, is given up. */
const giveUpMs = 3_600_000
const fewestTries = 5
/** A failure that passes at once is no problem that somebody must know of. */
const fewestFailures = 3

interface Waiting {
  readonly message: Message
  /** Why it was not delivered; undefined where it was. */
  readonly settled: PromiseWithResolvers<string | undefined>
  /** Nobody wants to know any more: it comes again, here or elsewhere. */
  isGone: boolean
}

/** What waits for one receiver, in order. Nothing of it is kept but here: whoever offers it knows it until it is settled. */
export class Outbox {
  readonly #options: OutboxOptions
  #waiting: Waiting[] = []
  #sending = 0
  #refreshes = false
  #arrived = Promise.withResolvers<void>()
  #windowAt = Number.NEGATIVE_INFINITY
  #toldInWindow = 0
  #failure: string | undefined
  /** In a row. */
  #failures = 0
  readonly #hurry = new AbortController()

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  get waiting(): number {
    return this.#waiting.length + this.#sending
  }

  /** Why nothing gets through; undefined where it does, or failed only a moment ago. */
  get problem(): string | undefined {
    return this.#failures < fewestFailures ? undefined : this.#failure
  }

  /** Settles with why each was not delivered; undefined where it was. `signal` takes back those that are not sent yet. */
  async offer(messages: readonly Message[], signal?: AbortSignal): Promise<readonly (string | undefined)[]> {
    const entries = messages.map((message): Waiting => ({ message, settled: Promise.withResolvers(), isGone: false }))
    const takeBack = (): void => {
      for (const entry of entries) {
        entry.isGone = true
        entry.settled.resolve('taken back')
      }
      this.#waiting = this.#waiting.filter(({ isGone }) => !isGone)
    }
    if (signal?.aborted === true) takeBack()
    else this.#waiting.push(...entries)
    signal?.addEventListener('abort', takeBack, { once: true })
    this.#arrived.resolve()
    try {
      return await Promise.all(entries.map(({ settled }) => settled.promise))
    } finally {
      signal?.removeEventListener('abort', takeBack)
    }
  }

  /** Tells again what is open, where the receiver wants that. */
  refresh(): void {
    this.#refreshes = true
    this.#arrived.resolve()
  }

  /** The process ends soon: what waits is told now, together where it is much. */
  hurry(): void {
    this.#hurry.abort()
  }

  /** Sends until the signal aborts; what is not sent by then is settled as not delivered. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    while (!signal.aborted) {
      if (this.#waiting.length === 0 && !this.#refreshes) {
        this.#arrived = Promise.withResolvers()
        await Promise.race([this.#arrived.promise, aborted])
      }
      await sleep(gatherMs, { signal, clock })
      await this.#makeRoom(signal)
      if (!signal.aborted) await this.#sendAll(signal)
    }
    for (const { settled } of this.#waiting.splice(0)) settled.resolve('the process ends')
  }

  async #makeRoom(signal: AbortSignal): Promise<void> {
    const { clock, receiver } = this.#options
    const left = windowMs - (clock.monotonic() - this.#windowAt)
    if (left > 0 && this.#toldInWindow + this.#waiting.length <= receiver.mostAtOnce) return
    if (left > 0 && this.#toldInWindow > 0)
      await sleep(left, { signal: AbortSignal.any([signal, this.#hurry.signal]), clock })
    this.#windowAt = clock.monotonic()
    this.#toldInWindow = 0
  }

  async #sendAll(signal: AbortSignal): Promise<void> {
    const { receiver } = this.#options
    this.#refreshes = false
    const entries = this.#waiting.splice(0)
    this.#sending = entries.length
    const messages = withoutJoined(entries.map(({ message }) => message))
    const together = messages.length > receiver.mostAtOnce
    this.#toldInWindow += together ? receiver.mostAtOnce : messages.length
    let left: string | undefined = 'the process ends'
    try {
      for (const request of receiver.requests(messages, together)) {
        if (signal.aborted) return
        const told = new Set(request.messages)
        const own = entries.filter(({ message }) => told.has(message))
        const failure = await this.#deliver(request, own, signal)
        for (const { settled } of own) settled.resolve(failure)
        this.#sending -= own.length
      }
      // The receiver does not want the others.
      if (!signal.aborted) left = undefined
    } finally {
      for (const { settled } of entries) settled.resolve(left)
      this.#sending = 0
    }
  }

  /** Answers why it was given up; undefined where it was delivered. */
  async #deliver(request: OutgoingRequest, own: readonly Waiting[], signal: AbortSignal): Promise<string | undefined> {
    const { name, clock, metrics, random = Math.random, send: trySend = send } = this.#options
    const oldest = Math.min(...request.messages.map(({ at }) => at))
    for (let tries = 1; ; tries++) {
      const failure = await trySend(request, { signal, wall: clock.wall })
      if (failure === undefined) {
        this.#succeeded()
        for (const { at } of request.messages) metrics.delivered(name, Math.max(0, clock.wall() - at) / 1000)
        return undefined
      }
      if (signal.aborted) return 'the process ends'
      metrics.failed(name, failure.reason)
      this.#failed(failure)
      // What is only told again comes again by itself.
      if (failure.isFinal || request.messages.length === 0) return failure.message
      if (tries >= fewestTries && clock.wall() - oldest > giveUpMs) return failure.message
      const asked = failure.retryAfterMs
      const wait = asked === undefined ? backoff(tries, { ...retry, random }) : asked + random() * retry.baseMs
      await sleep(Math.min(wait, longestWaitMs), { signal, clock })
      if (signal.aborted || own.every(({ isGone }) => isGone)) return 'taken back'
    }
  }

  #succeeded(): void {
    const { log, name } = this.#options
    if (this.#failure !== undefined) log.info({ receiver: name }, 'notifications get through again')
    this.#failure = undefined
    this.#failures = 0
  }

  #failed({ message, reason, isFinal }: Failure): void {
    const { log, name } = this.#options
    if (this.#failure === undefined) log.warn({ receiver: name, reason, error: message }, 'a notification failed')
    this.#failure = message
    this.#failures += isFinal ? fewestFailures : 1
  }
}

/** An episode that became part of the stream's before anybody was told of it need not be told. */
function withoutJoined(messages: readonly Message[]): readonly Message[] {
  const joined = new Set(
    messages.filter(({ episode }) => episode.partOf !== undefined).map(({ episode }) => episode.episodeId),
  )
  const opened = new Set(
    messages
      .filter(({ kind, episode }) => kind === 'Opened' && joined.has(episode.episodeId))
      .map(({ episode }) => episode.episodeId),
  )
  return opened.size === 0 ? messages : messages.filter(({ episode }) => !opened.has(episode.episodeId))
}

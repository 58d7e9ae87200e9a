import type { Logger } from '../../lib/log.ts'
import type { Notification } from '../../lib/pipeline/spec.ts'
import type { Clock } from '../../lib/time.ts'
import { createReceiver, type ReceiverContext } from './create-receiver.ts'
import type { Subject } from './episode-text.ts'
import type { Message } from './message.ts'
import type { NotificationMetrics } from './notification-metrics.ts'
import { Outbox } from './outbox.ts'
import { type Told, ToldEpisodes } from './told-episodes.ts'

export interface NotifierOptions {
  readonly notification: Notification
  readonly subject: Subject
  readonly secretsFolder: string | undefined
  readonly metrics: NotificationMetrics
  readonly clock: Clock
  readonly log: Logger
}

/** How often it is looked for what time alone brings. */
const lookMs = 5000

/** Tells one receiver of the episodes of some partitions. */
export class Notifier {
  readonly name: string
  readonly #options: NotifierOptions
  readonly #told = new Map<number, ToldEpisodes>()
  readonly #outbox: Outbox
  readonly #stop = new AbortController()
  readonly #refreshMs: number | undefined
  #sending: Promise<void> = Promise.resolve()
  #looking: NodeJS.Timeout | undefined
  #refreshing: NodeJS.Timeout | undefined

  /** @throws AppError InvalidArgument where a secret is missing or of no use */
  constructor(options: NotifierOptions) {
    const { notification, subject, secretsFolder, clock, log, metrics } = options
    const context: ReceiverContext = { subject, secretsFolder, wall: clock.wall, open: () => this.#open() }
    const receiver = createReceiver(notification, context)
    this.name = notification.name
    this.#options = options
    this.#refreshMs = receiver.refreshMs
    this.#outbox = new Outbox({ name: this.name, receiver, metrics, clock, log })
    metrics.known(this.name)
  }

  get waiting(): number {
    return this.#outbox.waiting
  }

  get problem(): string | undefined {
    return this.#outbox.problem
  }

  start(): void {
    this.#sending = this.#outbox.run(this.#stop.signal)
    this.#looking = setInterval(() => this.#look(), lookMs)
    if (this.#refreshMs !== undefined) this.#refreshing = setInterval(() => this.#outbox.refresh(), this.#refreshMs)
  }

  /** The process ends soon. */
  hurry(): void {
    this.#outbox.hurry()
  }

  async stop(): Promise<void> {
    clearInterval(this.#looking)
    clearInterval(this.#refreshing)
    this.#stop.abort()
    await this.#sending
  }

  /** What the receiver was told of the partition. */
  of(partition: number): ToldEpisodes {
    let told = this.#told.get(partition)
    if (told === undefined) {
      const { notification, subject, clock } = this.#options
      told = new ToldEpisodes(notification, { scope: `${subject.namespace}/${subject.pipeline}`, wall: clock.wall })
      this.#told.set(partition, told)
    }
    return told
  }

  /** The partition is somebody else's. */
  forget(partition: number): void {
    this.#told.delete(partition)
  }

  /** Settles with why each was given up; undefined where it was delivered. */
  async tell(messages: readonly Message[], signal?: AbortSignal): Promise<readonly (string | undefined)[]> {
    const failures = await this.#outbox.offer(messages, signal)
    const failed = failures.filter((failure) => failure !== undefined)
    if (failed.length === 0 || signal?.aborted === true || this.#stop.signal.aborted) return failures
    const { metrics, log } = this.#options
    metrics.deadLettered(this.name, failed.length)
    log.error({ receiver: this.name, count: failed.length, error: failed[0] }, 'notifications are given up')
    return failures
  }

  *#open(): Iterable<Told> {
    for (const told of this.#told.values()) yield* told.open
  }

  #look(): void {
    // They would only wait behind what waits already.
    if (this.#outbox.problem !== undefined) return
    const due = Array.from(this.#told.values(), (told) => told.due()).flat()
    if (due.length > 0) void this.tell(due)
  }
}

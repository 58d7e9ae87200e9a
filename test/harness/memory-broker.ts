import type { BatchControl, GroupMember, MemberEvents, MemberOptions } from '../../lib/kafka/group.ts'
import type { KafkaRecord, OutgoingRecord } from '../../lib/kafka/records.ts'
import type { CommittedOffset, TransactionalProducer } from '../../lib/kafka/transactional-producer.ts'
import type { ExactlyOnceClients } from '../../workloads/streams/exactly-once.ts'
import { VirtualClock } from './virtual-clock.ts'

/** The steps of the protocol in which a fault can be put. */
export const steps = [
  'initialise',
  'begin',
  'send',
  'sendOffsets',
  'commit',
  'committedOffsets',
  'topicOffsets',
  'join',
] as const
export type Step = (typeof steps)[number]

/** `lost`: the step has its effect, but its answer never arrives. */
export type Fault = { readonly error: Error; readonly isLost?: boolean }

const kafkaError = (type: string): Error => Object.assign(new Error(type), { type })
export const refused = (): Error => kafkaError('COORDINATOR_NOT_AVAILABLE')
export const tooLarge = (): Error => kafkaError('MESSAGE_TOO_LARGE')
export const rebalancing = (): Error => kafkaError('REBALANCE_IN_PROGRESS')
export const unknownMember = (): Error => kafkaError('UNKNOWN_MEMBER_ID')

/** One topic, one group, and what transactions put out: Kafka as far as the protocol sees it. */
export class MemoryBroker {
  readonly clock = new VirtualClock()
  readonly topic = 'events'
  /** Values of each partition, from offset `firstOffset` on. */
  readonly partitions: string[][]
  firstOffset = 0
  readonly committed = new Map<number, number>()
  /** What is kept with each offset. */
  readonly metadata = new Map<number, string>()
  /** Of producers: a request is on its way still. */
  isSpent = false
  topicId: string | undefined = 'first'
  /** What readers of committed records see. */
  readonly published: OutgoingRecord[] = []
  /** Each step with its subject, in order. */
  readonly log: string[] = []
  /** Asked before each step. */
  fault: (step: Step) => Fault | undefined = () => undefined
  /** Records of one fetch. */
  fetchSize = 1000
  member: MemoryMember | undefined
  readonly #epochs = new Map<string, number>()

  constructor(...partitions: string[][]) {
    this.partitions = partitions
  }

  get clients(): ExactlyOnceClients {
    const silent = (): void => {}
    return {
      clock: this.clock,
      log: { debug: silent, info: silent, warn: silent, error: silent },
      openProducer: (id) => this.#step('initialise', id, () => this.#producer(id)),
      admin: {
        topicOffsets: () =>
          this.#step('topicOffsets', '', () => {
            const { firstOffset: low } = this
            return new Map(this.partitions.map((records, p) => [p, { low, high: low + records.length }]))
          }),
        committedOffsets: () =>
          this.#step('committedOffsets', '', () => {
            const { metadata } = this
            return new Map(
              Array.from(this.committed, ([p, offset]) => [p, { offset, metadata: metadata.get(p) ?? '' }]),
            )
          }),
        topicId: async () => this.topicId,
        close: silent,
      },
      joinGroup: async (options, events) => {
        await this.#step('join', '', () => {})
        this.member = new MemoryMember(this, options, events)
        return this.member
      },
    }
  }

  /** As another process would: the producers of this id are fenced from now on. */
  fence(id: string): number {
    const epoch = (this.#epochs.get(id) ?? 0) + 1
    this.#epochs.set(id, epoch)
    return epoch
  }

  async #step<T>(step: Step, subject: string, effect: () => T): Promise<T> {
    this.log.push(subject === '' ? step : `${step} ${subject}`)
    // an answer takes a turn of the event loop, as it does from a socket
    await new Promise(setImmediate)
    const fault = this.fault(step)
    if (fault !== undefined && fault.isLost !== true) throw fault.error
    const answer = effect()
    if (fault !== undefined) throw fault.error
    return answer
  }

  #producer(id: string): TransactionalProducer {
    const epoch = this.fence(id)
    const checked = <T>(effect: () => T) => {
      if (this.#epochs.get(id) !== epoch) throw kafkaError('INVALID_PRODUCER_EPOCH')
      return effect()
    }
    const broker = this
    return {
      get isSpent() {
        return broker.isSpent
      },
      discard: () => {},
      begin: () =>
        this.#step('begin', '', () => {
          const sent: OutgoingRecord[] = []
          const offsets = new Map<number, CommittedOffset>()
          return {
            send: (records) =>
              this.#step('send', String(records.length), () => checked(() => void sent.push(...records))),
            sendOffsets: (_, of) =>
              this.#step('sendOffsets', of.map(({ partition, offset }) => `${partition}:${offset}`).join(), () =>
                checked(() => {
                  for (const one of of) offsets.set(one.partition, one)
                }),
              ),
            commit: () =>
              this.#step('commit', '', () =>
                checked(() => {
                  this.published.push(...sent)
                  for (const { partition, offset, metadata = '' } of offsets.values()) {
                    this.committed.set(partition, offset)
                    this.metadata.set(partition, metadata)
                  }
                }),
              ),
          }
        }),
    }
  }

  recordsOf(partition: number, from: number, count: number): KafkaRecord[] {
    const values = this.partitions[partition]!.slice(from - this.firstOffset, from - this.firstOffset + count)
    return values.map((value, i) => ({
      offset: from + i,
      key: null,
      value: Buffer.from(value),
      headers: {},
      timestamp: 0,
    }))
  }
}

/** Fetches as long as there is something, joins anew when told to. */
export class MemoryMember implements GroupMember {
  readonly #broker: MemoryBroker
  readonly #events: MemberEvents
  readonly #positions = new Map<number, number>()
  #isStopped = false
  /** What a heartbeat throws. */
  heartbeat: () => void = () => {}
  readonly #running: Promise<void>

  constructor(broker: MemoryBroker, _options: MemberOptions, events: MemberEvents) {
    this.#broker = broker
    this.#events = events
    this.#running = this.#run()
  }

  seek({ partition }: { readonly partition: number }, offset: number): void {
    this.#positions.set(partition, offset)
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    await this.#running
    await this.#events.leaving()
  }

  crash(error: Error): void {
    this.#isStopped = true
    this.#events.crashed(error)
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      await this.#events.leaving()
      const all = this.#broker.partitions.map((_, partition) => ({ topic: this.#broker.topic, partition }))
      this.#events.joined(all, undefined)
      const ended = new AbortController()
      const lanes = all.map(({ partition }) => this.#fetch(partition, ended.signal).finally(() => ended.abort()))
      await Promise.allSettled(lanes)
    }
  }

  /** Ends when a batch asks to join anew. */
  async #fetch(partition: number, signal: AbortSignal): Promise<void> {
    while (!this.#isStopped && !signal.aborted) {
      await new Promise(setImmediate)
      this.#events.polled()
      this.#events.heard()
      const from = this.#positions.get(partition)
      if (from === undefined) continue
      const { firstOffset, partitions, topic } = this.#broker
      if (from < firstOffset || from > firstOffset + partitions[partition]!.length) {
        await this.#events.outOfRange({ topic, partition })
        continue
      }
      const records = this.#broker.recordsOf(partition, from, this.#broker.fetchSize)
      if (records.length === 0) continue
      const highWatermark = this.#broker.firstOffset + this.#broker.partitions[partition]!.length
      let isStale = false
      const batch = { topic: this.#broker.topic, partition, records, highWatermark }
      await this.#events.batch(
        batch,
        controlOf(from + records.length, {
          heartbeat: async () => this.heartbeat(),
          isStale: () => isStale || this.#positions.get(partition) !== from,
          resolve: (next) => {
            isStale = true
            this.#positions.set(partition, next)
          },
        }),
      )
    }
  }
}

export function controlOf(end: number, control: Partial<BatchControl> = {}): BatchControl {
  return {
    end,
    heartbeat: async () => {},
    resolve: () => {},
    isStale: () => false,
    isRunning: () => true,
    ...control,
  }
}

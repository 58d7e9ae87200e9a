import { AppError, messageOf } from '../../lib/errors.ts'
import { openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { failureOf, KafkaError } from '../../lib/kafka/errors.ts'
import { type BatchControl, type GroupMember, joinGroup } from '../../lib/kafka/group.ts'
import { type OutgoingRecord, type RecordBatch, sizeOf, type TopicPartition } from '../../lib/kafka/records.ts'
import { type TransactionalProducer, transactionalProducers } from '../../lib/kafka/transactional-producer.ts'
import { extract, traced } from '../../lib/telemetry.ts'
import type { TraceHeaders } from '../../lib/tracing.ts'

/** What is done with the records of the partitions that this process owns. Nothing of a partition runs at the same time. */
export interface PartitionHandler {
  /**
   * The partition is this process's now and its former owner is fenced; called after every join and every failed
   * transaction, before the committed offset is read. The place to take the state's epoch. Repeated when it throws.
   */
  assigned(of: TopicPartition, signal: AbortSignal): Promise<void>
  /**
   * Records in the order of their offsets, at most `maxRecords`: gives what is to be published with their offsets.
   * Several calls may share a transaction; what they stage becomes real in `committed`, or not, in `dropped`. When it
   * throws, everything since the last commit is dropped and comes again. It ends soon after `signal` is aborted.
   */
  batch(batch: RecordBatch, signal: AbortSignal): Promise<readonly OutgoingRecord[]>
  /** What was staged up to, not with, this offset is published. */
  committed(of: TopicPartition, nextOffset: number): void
  /** What was staged since the last commit is void. */
  dropped(of: TopicPartition): void
  /** Before each join and the end: another may own them next. Write what it should find. Cut off after some seconds. */
  releasing(partitions: readonly TopicPartition[], signal: AbortSignal): Promise<void>
  /** The partition is not this process's any more. */
  revoked(of: TopicPartition): void
  /** Stands in for a record that alone exceeds what its topic takes. */
  tooLarge(record: OutgoingRecord): OutgoingRecord
}

export interface ExactlyOnceOptions {
  readonly topic: string
  readonly groupId: string
  /** Where a group without any committed offset starts. Partitions that appear later start at their first record. */
  readonly startFrom: 'Earliest' | 'Latest'
  readonly handler: PartitionHandler
  /** Records between `from` and `to` are not in the log any more (or, with `to` below `from`, the topic is another one). */
  readonly onOffsetLost: (of: TopicPartition, lost: { readonly from: number; readonly to: number }) => void
  readonly maxRecords?: number | undefined
  /** Of a fetch of one partition, which becomes one transaction. */
  readonly maxBytesPerPartition?: number | undefined
  /** Of one produce request; below the broker's `message.max.bytes` (1,048,588). */
  readonly maxSendBytes?: number | undefined
  readonly sessionTimeoutMs?: number | undefined
  /** New partitions are seen after it. */
  readonly metadataMaxAgeMs?: number | undefined
  /** Least time from the begin of a partition's transaction to that of its next: sooner, the broker makes it wait longer. */
  readonly spacingMs?: number | undefined
}

export interface ExactlyOnce {
  /** Owns its partitions and reads, as far as it knows. */
  ready(): boolean
  /** Why not, in words; undefined when ready. */
  problem(): string | undefined
  /** When the loop last turned, or the batch that it waits for last made progress, by `performance.now()`. For liveness. */
  polledAt(): number
  /** To be called by a handler that waits for something with good reason: it is not stuck. */
  waiting(): void
  /** Records known to wait, by owned partition. */
  lag(): ReadonlyMap<number, number>
  /** Ends the batch in work, commits, releases, leaves; within some seconds, whatever does not answer. */
  stop(): Promise<void>
}

/** An owned partition. */
interface Lane {
  readonly of: TopicPartition
  producer: TransactionalProducer | undefined
  /** Next offset to handle; -1 before the committed one is known. */
  next: number
  lag: number
  /** Whether the lane may be worked on; false when the partition was taken away meanwhile. */
  ready: Promise<boolean>
  /** The batch in work, if any. */
  busy: Promise<void>
  /** When that last made progress, by `performance.now()`; undefined while there is none. */
  movedAt: number | undefined
  /** What keeps failing, in words. */
  problem: string | undefined
  stop: AbortController
  /** A commit whose fate is unknown, up to this offset. */
  unsettled: number | undefined
  maxSendBytes: number
  /** Records of more bytes are replaced: one of this size was refused. */
  maxRecordBytes: number
  failures: number
}

const releaseTimeoutMs = 3000
/** For the batch in work, when others wait for its partition or the process for its end. */
const graceMs = 3000
/** For the batch in work and for leaving the group. */
const stopTimeoutMs = 8000
const stallMs = 45_000
/** The broker answers a heartbeat every second or two. */
const silentMs = 5000
/** Traces that a commit is linked to. */
const mostLinks = 100
const backoff = { firstMs: 100, maxMs: 5000 }

/**
 * Reads a topic as a member of a group and publishes what the handler makes of it, so that each record has its effect
 * once: results and offsets commit in one transaction a fetch and partition. Runs until stopped: whatever fails is
 * tried again, with a delay.
 *
 * What makes it exact: the transactional id is a function of group, topic and partition, so that a new owner fences the
 * former one; after every join and every failed transaction the producer is initialised first, then the state's epoch
 * taken, then the committed offset read, and records below it are dropped.
 */
export function runExactlyOnce(settings: KafkaSettings, options: ExactlyOnceOptions): ExactlyOnce {
  const { topic, groupId, handler } = options
  const { maxRecords = 2000, maxBytesPerPartition = 512 * 1024, maxSendBytes = 768 * 1024 } = options
  const { sessionTimeoutMs = 10_000, metadataMaxAgeMs = 10_000, spacingMs = 20 } = options
  const { log } = settings
  const openProducer = transactionalProducers(settings)
  const admin = openAdmin(settings, { timeoutMs: 15_000 })
  const lanes = new Map<number, Lane>()
  const stopping = new AbortController()

  let member: GroupMember | undefined
  let started = false
  let turnedAt = performance.now()
  let heardAt = performance.now()
  /** Why the broker does not answer, as far as it is known. */
  let silence: string | undefined
  let problem: string | undefined = 'joining the group'
  let generation = 0
  let lives = 0

  const turned = (): void => {
    turnedAt = performance.now()
  }

  const heard = (): void => {
    heardAt = performance.now()
    silence = undefined
  }

  /** While a batch is in work, nothing is fetched: what counts is that it gets on. */
  function polledAt(): number {
    let oldest = Number.POSITIVE_INFINITY
    for (const { movedAt } of lanes.values()) if (movedAt !== undefined) oldest = Math.min(oldest, movedAt)
    return oldest === Number.POSITIVE_INFINITY ? turnedAt : oldest
  }

  const moved = (lane: Lane): void => {
    if (lane.movedAt !== undefined) lane.movedAt = performance.now()
  }

  function problemNow(): string | undefined {
    if (problem !== undefined) return problem
    const silentFor = performance.now() - heardAt
    if (silentFor > silentMs)
      return `no answer for ${Math.round(silentFor / 1000)} s${silence === undefined ? '' : `: ${silence}`}`
    for (const { of, problem } of lanes.values())
      if (problem !== undefined) return `${of.topic}-${of.partition}: ${problem}`
    return undefined
  }

  /** The start of a group is committed for all partitions at once, so that a later look finds all or none. */
  async function commitStart(): Promise<void> {
    const producer = await openProducer(`${groupId}-${topic}-start`)
    try {
      const [offsets, committed] = [await admin.topicOffsets(topic), await admin.committedOffsets(groupId, topic)]
      if (committed.size > 0 || offsets.size === 0) return
      const transaction = await producer.begin()
      const start = Array.from(offsets, ([partition, { low, high }]) => {
        return { topic, partition, offset: options.startFrom === 'Latest' ? high : low }
      })
      await transaction.sendOffsets(groupId, start)
      await transaction.commit()
      log.info({ groupId, topic, startFrom: options.startFrom }, 'the group starts')
    } finally {
      producer.discard()
    }
  }

  /** Takes a partition: fence, epoch, offset, in this order. */
  async function open(lane: Lane, signal: AbortSignal): Promise<void> {
    const { of } = lane
    lane.producer?.discard()
    lane.producer = undefined
    const producer = await openProducer(`${groupId}-${of.topic}-${of.partition}`)
    try {
      signal.throwIfAborted()
      onward(lane)
      await handler.assigned(of, signal)
      onward(lane)
      let next = (await admin.committedOffsets(groupId, of.topic)).get(of.partition)
      onward(lane)
      if (next === undefined) {
        next = (await admin.topicOffsets(of.topic)).get(of.partition)?.low
        if (next === undefined) throw new AppError('NotFound', `Cannot find partition ${of.partition} of ${of.topic}`)
        const transaction = await producer.begin()
        await transaction.sendOffsets(groupId, [{ ...of, offset: next }])
        await transaction.commit()
        log.info({ ...of, offset: next }, 'a new partition starts at its first record')
      }
      settle(lane, next)
      signal.throwIfAborted()
      // What was acknowledged stays done, even where the broker then skips its markers, as Kafka 4.3 may when all replicas restart.
      lane.next = Math.max(lane.next, next)
      lane.producer = producer
      member?.seek(of, lane.next)
    } catch (error) {
      producer.discard()
      throw error
    }
  }

  /** A lane is opened by the loop, or by the batch that failed on it. */
  const onward = (lane: Lane): void => {
    turned()
    moved(lane)
  }

  /** After the committed offset is known, so is the fate of the last commit. */
  function settle(lane: Lane, committed: number): void {
    if (lane.unsettled === undefined) return
    const promoted = committed >= lane.unsettled
    lane.unsettled = undefined
    if (promoted) handler.committed(lane.of, committed)
    else handler.dropped(lane.of)
  }

  async function openUntilDone(lane: Lane, signal: AbortSignal): Promise<boolean> {
    for (let waitMs = backoff.firstMs; !signal.aborted; waitMs = Math.min(backoff.maxMs, waitMs * 2)) {
      onward(lane)
      try {
        await open(lane, signal)
        lane.problem = undefined
        return true
      } catch (error) {
        if (signal.aborted) break
        lane.problem = messageOf(error)
        log.warn({ ...lane.of, error: messageOf(error), waitMs }, 'cannot take the partition yet')
        await sleep(waitMs, signal)
      }
    }
    return false
  }

  function newLane(of: TopicPartition): Lane {
    return {
      of,
      producer: undefined,
      next: -1,
      lag: 0,
      ready: Promise.resolve(false),
      busy: Promise.resolve(),
      movedAt: undefined,
      problem: undefined,
      stop: new AbortController(),
      unsettled: undefined,
      maxSendBytes,
      maxRecordBytes: Number.POSITIVE_INFINITY,
      failures: 0,
    }
  }

  function joined(partitions: readonly TopicPartition[]): void {
    turned()
    heard()
    const owned = new Set(partitions.map(({ partition }) => partition))
    for (const [partition, lane] of lanes) {
      lane.stop.abort()
      if (owned.has(partition)) continue
      lanes.delete(partition)
      lane.busy.finally(() => {
        lane.producer?.discard()
        if (lane.unsettled !== undefined) handler.dropped(lane.of)
        if (!lanes.has(partition)) handler.revoked(lane.of)
      })
    }
    for (const of of partitions) {
      const lane = lanes.get(of.partition) ?? newLane(of)
      lanes.set(of.partition, lane)
      lane.stop = new AbortController()
      const { signal } = lane.stop
      lane.ready = lane.busy.then(() => openUntilDone(lane, signal))
    }
    const current = ++generation
    Promise.all(partitions.map(({ partition }) => lanes.get(partition)!.ready)).then((ready) => {
      if (current !== generation || ready.includes(false)) return
      problem = undefined
      log.info({ groupId, partitions: [...owned] }, 'reading')
    })
  }

  async function leaving(): Promise<void> {
    problem = 'joining the group'
    generation++
    const inWork = [...lanes.values()]
    if (inWork.length === 0) return
    const late = setTimeout(() => {
      for (const lane of inWork) lane.stop.abort()
    }, graceMs)
    await Promise.all(inWork.map((lane) => lane.busy))
    clearTimeout(late)
    await release(inWork)
  }

  async function release(inWork: readonly Lane[]): Promise<void> {
    const signal = AbortSignal.timeout(releaseTimeoutMs)
    const released = handler
      .releasing(
        inWork.map(({ of }) => of),
        signal,
      )
      .catch((error) => {
        log.warn({ error: messageOf(error) }, 'cannot release the partitions in time')
      })
    await Promise.race([released, sleep(releaseTimeoutMs, signal)])
  }

  async function batch(records: RecordBatch, control: BatchControl): Promise<void> {
    turned()
    const lane = lanes.get(records.partition)
    if (lane === undefined) return
    const { stop } = lane
    const { signal } = stop
    let lost: unknown
    const beat = setInterval(async () => {
      try {
        await control.heartbeat()
      } catch (error) {
        const failure = failureOf(error)
        if (failure !== 'Rejoin' && failure !== 'Expelled') {
          silence = messageOf(error)
          return
        }
        if (lost !== undefined) return
        lost = error
        if (failure === 'Expelled') stop.abort()
        else setTimeout(() => stop.abort(), graceMs).unref()
      }
    }, 1000)
    const done = Promise.withResolvers<void>()
    try {
      const ready = await Promise.race([lane.ready, aborted(signal)])
      if (!ready || signal.aborted || control.isStale() || lanes.get(records.partition) !== lane) return
      lane.busy = done.promise
      lane.movedAt = performance.now()
      const began = performance.now()
      await work(lane, records, control, {
        signal,
        paused: () => lost !== undefined || stopping.signal.aborted,
      })
      const restMs = spacingMs - (performance.now() - began)
      if (restMs > 0 && !stopping.signal.aborted) await sleep(restMs, signal)
    } finally {
      clearInterval(beat)
      if (lane.busy === done.promise) lane.movedAt = undefined
      turned()
      done.resolve()
    }
    if (lost !== undefined) throw lost
  }

  interface Work {
    readonly signal: AbortSignal
    /** No further slice is begun: what is done is committed. */
    readonly paused: () => boolean
  }

  async function work(lane: Lane, batch: RecordBatch, control: BatchControl, { signal, paused }: Work): Promise<void> {
    const { of } = lane
    const records =
      lane.next > (batch.records[0]?.offset ?? 0) ? batch.records.filter((r) => r.offset >= lane.next) : batch.records
    const outgoing: OutgoingRecord[] = []
    let end = lane.next
    try {
      for (let from = 0; from < records.length && !paused(); from += maxRecords) {
        const slice = records.length <= maxRecords ? records : records.slice(from, from + maxRecords)
        for (const record of await handler.batch({ ...batch, records: slice }, signal)) outgoing.push(record)
        signal.throwIfAborted()
        moved(lane)
        end = from + maxRecords >= records.length ? Math.max(end, control.end) : slice.at(-1)!.offset + 1
      }
      if (records.length === 0) end = Math.max(end, control.end)
    } catch (error) {
      handler.dropped(of)
      member?.seek(of, lane.next)
      if (signal.aborted) return
      await failed(lane, error, 'the handler failed; its records come again')
      return
    }
    if (end === lane.next) return

    let committing = false
    try {
      await traced('commit', { kind: 'producer', links: tracesOf(outgoing) }, async () => {
        const transaction = await lane.producer!.begin()
        for (const records of bounded(lane, outgoing)) {
          moved(lane)
          await transaction.send(records)
        }
        moved(lane)
        await transaction.sendOffsets(groupId, [{ ...of, offset: end }])
        moved(lane)
        committing = true
        await transaction.commit()
      })
    } catch (error) {
      await undo(lane, { error, end, committing, outgoing })
      return
    }
    lane.next = end
    lane.lag = Math.max(0, batch.highWatermark - end)
    lane.failures = 0
    lane.problem = undefined
    control.resolve(end)
    handler.committed(of, end)
  }

  /** The producer is of no use any more, and a commit that threw may have committed. */
  async function undo(
    lane: Lane,
    {
      error,
      end,
      committing,
      outgoing,
    }: { error: unknown; end: number; committing: boolean; outgoing: readonly OutgoingRecord[] },
  ): Promise<void> {
    lane.producer?.discard()
    lane.producer = undefined
    const failure = failureOf(error)
    if (committing && failure !== 'Fenced') lane.unsettled = end
    else handler.dropped(lane.of)
    if (failure === 'Fenced') {
      lane.ready = Promise.resolve(false)
      log.warn({ ...lane.of, error: messageOf(error) }, 'fenced: another process owns the partition; joining anew')
      throw new KafkaError('Rejoin', `fenced on ${lane.of.topic}-${lane.of.partition}`)
    }
    if (failure === 'TooLarge') tighten(lane, outgoing)
    await failed(lane, error, 'a transaction failed; its outcome is being looked up')
    lane.ready = openUntilDone(lane, lane.stop.signal)
    await lane.ready
  }

  async function failed(lane: Lane, error: unknown, message: string): Promise<void> {
    const waitMs = Math.min(backoff.maxMs, backoff.firstMs * 2 ** lane.failures++)
    log.warn({ ...lane.of, error: messageOf(error), failures: lane.failures }, message)
    if (lane.failures === 1) return
    lane.problem = messageOf(error)
    await sleep(waitMs, lane.stop.signal)
    moved(lane)
  }

  /** The next try sends less at once; when that was one record, such a record is replaced. */
  function tighten(lane: Lane, outgoing: readonly OutgoingRecord[]): void {
    const largest = outgoing.reduce((max, record) => Math.max(max, sizeOf(record)), 0)
    if (lane.maxSendBytes > largest) lane.maxSendBytes = Math.max(largest, Math.floor(lane.maxSendBytes / 2))
    else lane.maxRecordBytes = largest - 1
  }

  function* bounded(lane: Lane, outgoing: readonly OutgoingRecord[]): Generator<readonly OutgoingRecord[]> {
    let send: OutgoingRecord[] = []
    let bytes = 0
    for (let record of outgoing) {
      let size = sizeOf(record)
      if (size > lane.maxRecordBytes) {
        record = handler.tooLarge(record)
        size = sizeOf(record)
      }
      if (bytes + size > lane.maxSendBytes && send.length > 0) {
        yield send
        send = []
        bytes = 0
      }
      send.push(record)
      bytes += size
    }
    if (send.length > 0) yield send
  }

  async function outOfRange(of: TopicPartition): Promise<void> {
    const lane = lanes.get(of.partition)
    if (lane === undefined || !(await lane.ready)) return
    const offsets = (await admin.topicOffsets(of.topic)).get(of.partition)
    if (offsets === undefined || (lane.next >= offsets.low && lane.next <= offsets.high)) return
    options.onOffsetLost(of, { from: lane.next, to: offsets.low })
    log.error(
      { ...of, from: lane.next, to: offsets.low },
      'the next offset is not in the log: records were lost before they were read',
    )
    lane.next = offsets.low
    member?.seek(of, lane.next)
  }

  /** One member's life; ends when it crashed or stands still. */
  async function live(): Promise<unknown> {
    const ended = Promise.withResolvers<unknown>()
    const stopped = aborted(stopping.signal)
    const watchdog = setInterval(() => {
      if (performance.now() - polledAt() > stallMs)
        ended.resolve(new AppError('Unavailable', `no turn for ${stallMs} ms`))
    }, 1000)
    let joining: Promise<GroupMember> | undefined
    try {
      joining = join(ended.resolve)
      const born = await Promise.race([joining, stopped, ended.promise.then((error) => Promise.reject(error))])
      if (born === false) return
      member = born
      for (const lane of lanes.values()) if (lane.next >= 0) member.seek(lane.of, lane.next)
      return await Promise.race([ended.promise, stopped])
    } finally {
      clearInterval(watchdog)
      member = undefined
      const gone = joining?.then((former) => former.stop()).catch(() => {})
      if (stopping.signal.aborted) await gone
    }
  }

  async function join(crashed: (error: unknown) => void): Promise<GroupMember> {
    const life = ++lives
    const alive = (): boolean => life === lives
    if (!started) await commitStart()
    started = true
    return joinGroup(
      settings,
      {
        groupId,
        topics: [topic],
        sessionTimeoutMs,
        maxBytesPerPartition,
        metadataMaxAgeMs,
        maxPartitionsAtOnce: 64,
        maxWaitMs: 500,
      },
      {
        leaving: async () => {
          if (alive()) await leaving()
        },
        joined: (partitions) => {
          if (alive()) joined(partitions)
        },
        batch: async (records, control) => {
          if (alive()) await batch(records, control)
        },
        outOfRange: async (of) => {
          if (alive()) await outOfRange(of)
        },
        polled: () => {
          if (alive()) turned()
        },
        heard: () => {
          if (alive()) heard()
        },
        crashed,
      },
    )
  }

  async function loop(): Promise<void> {
    for (let waitMs = backoff.firstMs; !stopping.signal.aborted; waitMs = Math.min(backoff.maxMs, waitMs * 2)) {
      turned()
      const born = performance.now()
      let error: unknown
      try {
        error = await live()
      } catch (thrown) {
        error = thrown
      }
      if (stopping.signal.aborted) break
      const before = problem
      problem = `Kafka: ${messageOf(error)}`
      if (performance.now() - born > 60_000) waitMs = backoff.firstMs
      if (problem !== before)
        log.warn({ groupId, error: messageOf(error) }, 'the consumer ended; another one is started')
      await sleep(waitMs, stopping.signal)
    }
  }
  const looping = loop()

  return {
    ready: () => problemNow() === undefined,
    problem: problemNow,
    polledAt,
    waiting() {
      for (const lane of lanes.values()) moved(lane)
    },
    lag: () => new Map(Array.from(lanes, ([partition, { lag }]) => [partition, lag])),
    stop: async () => {
      stopping.abort()
      problem = 'stopping'
      const late = setTimeout(() => {
        for (const lane of lanes.values()) lane.stop.abort()
      }, graceMs)
      const hasLeft = await within(stopTimeoutMs, looping)
      clearTimeout(late)
      if (!hasLeft) {
        log.warn({ groupId }, 'the group could not be left in time: its other members wait for the end of the session')
        await release([...lanes.values()])
      }
      for (const lane of lanes.values()) {
        lane.stop.abort()
        lane.producer?.discard()
        handler.revoked(lane.of)
      }
      lanes.clear()
      admin.close()
    },
  }
}

/** Resolves after `ms`, or as soon as the signal is aborted. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((done) => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      done()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end)
  })
}

/** Whether the work was done in time; afterwards nobody waits for it. */
async function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  const late = new AbortController()
  try {
    return await Promise.race([work.then(() => true), sleep(ms, late.signal).then(() => false)])
  } finally {
    late.abort()
  }
}

function aborted(signal: AbortSignal): Promise<false> {
  if (signal.aborted) return Promise.resolve(false)
  return new Promise((done) => signal.addEventListener('abort', () => done(false), { once: true }))
}

/** The traces that the first of the records carry. */
function tracesOf(outgoing: readonly OutgoingRecord[]): readonly TraceHeaders[] {
  const traces: TraceHeaders[] = []
  for (const { headers } of outgoing) {
    const trace = headers?.traceparent === undefined ? undefined : extract((name) => headers[name])
    if (trace !== undefined && traces.push(trace) === mostLinks) break
  }
  return traces
}

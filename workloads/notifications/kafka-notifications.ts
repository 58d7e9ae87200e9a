import type { Registry } from 'prom-client'
import { canonicalJson } from '../../lib/canonical-json.ts'
import { messageOf } from '../../lib/errors.ts'
import { openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { readPartition } from '../../lib/kafka/read-partition.ts'
import type { Part } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/log.ts'
import type { LivePipeline } from '../../lib/pipeline/live-pipeline.ts'
import { resolveGroup } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Notification, Pipeline } from '../../lib/pipeline/spec.ts'
import { systemClock } from '../../lib/time.ts'
import { KafkaStream } from '../streams/kafka.ts'
import { standIns } from '../streams/stand-ins.ts'
import type { Subject } from './episode-text.ts'
import { notificationMetrics } from './notification-metrics.ts'
import { Notifier } from './notifier.ts'
import { notifierHandler } from './notifier-handler.ts'

export interface KafkaNotificationsOptions {
  readonly pipeline: Pipeline
  /** Receivers come and go, and change, while the process runs. */
  readonly live: Pick<LivePipeline, 'notifications' | 'externalUrl'>
  readonly kafka: KafkaSettings
  /** The entries of Secrets as files: FOLDER/<secret>/<entry>. */
  readonly secretsFolder: string | undefined
  readonly registry: Registry
  readonly log: Logger
  /** How often it is looked for other receivers. */
  readonly everyMs?: number | undefined
}

export interface KafkaNotifications extends Part {
  /** Why nothing is read for some receiver; undefined where all is well. What a receiver does with it says `status`. */
  problem(): string | undefined
  /** When the slowest of the loops last turned, by `performance.now()`. */
  polledAt(): number
  /** By receiver: what waits, and why. */
  status(): Readonly<Record<string, { readonly problem: string; readonly waiting: number }>>
}

interface Running {
  /** Changes with what it is made of. */
  readonly made: string
  readonly notifier: Notifier
  readonly stream: KafkaStream
  stop(): Promise<void>
}

const waitingMs = 5000
const fetchBytes = 2 ** 20

/**
 * Tells the receivers of a pipeline of the episodes that it publishes. Each receiver reads the topic as a consumer group of
 * its own: what is dead or slow holds up nothing but itself.
 */
export function createKafkaNotifications(options: KafkaNotificationsOptions): KafkaNotifications {
  const { pipeline, live, kafka, secretsFolder, registry, log, everyMs = 1000 } = options
  const { results } = pipeline.spec
  const { namespace, name } = pipeline.metadata
  const running = new Map<string, Running>()
  /** Receivers that cannot be made: why. */
  const broken = new Map<string, string>()
  const lagOf = ({ stream, notifier }: Running): number =>
    Math.max(
      notifier.waiting,
      [...stream.lag().values()].reduce((sum, lag) => sum + lag, 0),
    )
  const metrics = notificationMetrics(
    registry,
    () => new Map(Array.from(running, ([receiver, { notifier }]) => [receiver, notifier.waiting])),
  )
  const admin = openAdmin(kafka)
  let timer: NodeJS.Timeout | undefined
  let changing: Promise<void> = Promise.resolve()
  let isStopped = false

  function begin(notification: Notification, subject: Subject, made: string): Running {
    const notifier = new Notifier({ notification, subject, secretsFolder, metrics, clock: systemClock, log })
    const topic = results.episodesTopic!
    const groupId = `${resolveGroup(pipeline).groupId}_notify_${notification.name}`
    const stream = new KafkaStream(kafka, {
      topic,
      groupId,
      startFrom: 'Latest',
      maxBytesPerPartition: fetchBytes,
      onOffsetLost: () => {},
      ...standIns(results.deadLetterTopic),
      onSetAside: () => {},
    })
    const handler = notifierHandler({
      notifier,
      pipeline: name,
      deadLetterTopic: results.deadLetterTopic,
      committed: async (partition) => (await admin.committedOffsets(groupId, topic)).get(partition)?.offset,
      read: (partition, { from, until }, onRecord) =>
        readPartition(kafka, { topic, partition, offset: from, until }, onRecord),
    })
    const stop = new AbortController()
    notifier.start()
    const consuming = stream.consume(handler, { signal: stop.signal })
    // A receiver that is away is waited for: the loop is not stuck.
    const waiting = setInterval(() => {
      if (notifier.waiting > 0) stream.waiting()
    }, waitingMs)
    return {
      made,
      notifier,
      stream,
      async stop() {
        stop.abort()
        await consuming
        clearInterval(waiting)
        await notifier.stop()
      },
    }
  }

  async function change(): Promise<void> {
    const subject: Subject = { namespace, pipeline: name, externalUrl: live.externalUrl }
    const wanted = new Map(live.notifications.map((one) => [one.name, one]))
    for (const [receiver, one] of running) {
      const notification = wanted.get(receiver)
      if (notification !== undefined && madeOf(notification, subject) === one.made) continue
      running.delete(receiver)
      await one.stop()
      log.info({ receiver }, notification === undefined ? 'it is told no more' : 'it is told as the pipeline says now')
    }
    for (const receiver of broken.keys()) if (!wanted.has(receiver)) broken.delete(receiver)
    for (const [receiver, notification] of wanted) {
      if (running.has(receiver) || isStopped) continue
      const made = madeOf(notification, subject)
      try {
        running.set(receiver, begin(notification, subject, made))
        if (broken.delete(receiver)) log.info({ receiver }, 'its secrets are there now')
      } catch (error) {
        const problem = messageOf(error)
        if (broken.get(receiver) !== problem) log.error({ receiver, error: problem }, 'it cannot be told')
        broken.set(receiver, problem)
      }
    }
  }

  function look(): void {
    changing = changing.then(change).catch((error: unknown) => {
      log.error({ error: messageOf(error) }, 'notifications could not be taken up')
    })
  }

  return {
    name: 'notifications',
    start() {
      look()
      timer = setInterval(look, everyMs)
    },
    async stop() {
      isStopped = true
      clearInterval(timer)
      await changing
      await Promise.all(Array.from(running.values(), (one) => one.stop()))
      admin.close()
    },
    problem() {
      for (const { name: receiver } of live.notifications)
        if (!running.has(receiver) && !broken.has(receiver)) return `${receiver}: not started`
      for (const [receiver, { stream }] of running) {
        const found = stream.problem()
        if (found !== undefined) return `${receiver}: ${found.message}`
      }
      return undefined
    },
    polledAt: () => Math.min(performance.now(), ...Array.from(running.values(), ({ stream }) => stream.polledAt())),
    status() {
      const told = Array.from(running, ([receiver, one]) => [
        receiver,
        { problem: one.stream.problem()?.message ?? one.notifier.problem ?? 'ok', waiting: lagOf(one) },
      ])
      const others = Array.from(broken, ([receiver, problem]) => [receiver, { problem, waiting: 0 }])
      return Object.fromEntries([...told, ...others])
    },
  }
}

const madeOf = (notification: Notification, subject: Subject): string => canonicalJson([notification, subject])

import type { Registry } from 'prom-client'
import type { Part } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/log.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { sleep, systemClock } from '../../lib/time.ts'
import type { Episode } from '../detection/episode.ts'
import { notificationMetrics } from './notification-metrics.ts'
import { Notifier } from './notifier.ts'

export interface LocalNotificationsOptions {
  readonly pipeline: Pipeline
  /** The entries of Secrets as files: FOLDER/<secret>/<entry>. */
  readonly secretsFolder: string | undefined
  readonly registry: Registry
  readonly log: Logger
}

export interface LocalNotifications extends Part {
  observe(episodes: readonly Episode[]): void
}

/** Beyond it a receiver that is away is told no more: this process keeps nothing elsewhere. */
const mostWaiting = 10_000
/** For what waits when the process ends. */
const lastMs = 5000

/**
 * Tells the receivers of a pipeline of the episodes of this process. What waits is lost with it.
 * @throws AppError InvalidArgument where a secret is missing or of no use
 */
export function createLocalNotifications(options: LocalNotificationsOptions): LocalNotifications {
  const { pipeline, secretsFolder, registry, log } = options
  const { metadata, spec } = pipeline
  const subject = { namespace: metadata.namespace, pipeline: metadata.name, externalUrl: spec.api.externalUrl }
  const metrics = notificationMetrics(registry, () => new Map(notifiers.map(({ name, waiting }) => [name, waiting])))
  const notifiers = (spec.notifications ?? []).map(
    (notification) => new Notifier({ notification, subject, secretsFolder, metrics, clock: systemClock, log }),
  )
  const telling = new Set<Promise<unknown>>()
  return {
    name: 'notifications',
    start() {
      for (const notifier of notifiers) notifier.start()
    },
    async stop() {
      for (const notifier of notifiers) notifier.hurry()
      await Promise.race([Promise.all(telling), sleep(lastMs)])
      await Promise.all(notifiers.map((notifier) => notifier.stop()))
    },
    observe(episodes) {
      if (episodes.length === 0) return
      for (const notifier of notifiers) {
        const told = notifier.of(0)
        const messages = episodes.flatMap((episode) => told.take(episode, Date.now()) ?? [])
        told.commit()
        if (messages.length === 0) continue
        if (notifier.waiting + messages.length > mostWaiting) metrics.deadLettered(notifier.name, messages.length)
        else {
          const delivery = notifier.tell(messages).finally(() => telling.delete(delivery))
          telling.add(delivery)
        }
      }
    },
  }
}

import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { FailureReason } from './send.ts'

export interface NotificationMetrics {
  /** @param seconds since it came to be said */
  delivered(receiver: string, seconds: number): void
  failed(receiver: string, reason: FailureReason): void
  deadLettered(receiver: string, count: number): void
  /** The receiver exists from now on: what did not happen yet counts 0. */
  known(receiver: string): void
}

/** @param waiting messages by receiver */
export function notificationMetrics(
  registry: Registry,
  waiting: () => ReadonlyMap<string, number>,
): NotificationMetrics {
  const registers = [registry]
  const sent = new Counter({
    name: 'anomaly_notifications_sent_total',
    help: 'Notifications that their receiver has taken',
    labelNames: ['receiver'],
    registers,
  })
  const failures = new Counter({
    name: 'anomaly_notifications_failed_total',
    help: 'Requests with notifications that failed, by reason; each try counts',
    labelNames: ['receiver', 'reason'],
    registers,
  })
  const dead = new Counter({
    name: 'anomaly_notifications_dead_lettered_total',
    help: 'Notifications that were given up',
    labelNames: ['receiver'],
    registers,
  })
  const delay = new Histogram({
    name: 'anomaly_notification_delay_seconds',
    help: 'From the change of an episode published to its receiver told, once a notification',
    labelNames: ['receiver'],
    buckets: [0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600],
    registers,
  })
  new Gauge({
    name: 'anomaly_notifications_waiting',
    help: 'Notifications that wait to be taken by their receiver',
    labelNames: ['receiver'],
    registers,
    collect() {
      this.reset()
      for (const [receiver, count] of waiting()) this.set({ receiver }, count)
    },
  })
  return {
    delivered(receiver, seconds) {
      sent.inc({ receiver })
      delay.observe({ receiver }, seconds)
    },
    failed: (receiver, reason) => failures.inc({ receiver, reason }),
    deadLettered: (receiver, count) => dead.inc({ receiver }, count),
    known(receiver) {
      sent.inc({ receiver }, 0)
      dead.inc({ receiver }, 0)
    },
  }
}

import { createKafkaNotifications, type KafkaNotificationsOptions } from '../notifications/kafka-notifications.ts'
import type { Duty } from './duty.ts'

const stuckMs = 60_000

/** Tells the receivers of the pipeline of its episodes. */
export function notificationDuty(options: KafkaNotificationsOptions): Duty {
  const notifications = createKafkaNotifications(options)
  return {
    name: 'notifications',
    parts: [notifications],
    live: () => {
      const ms = performance.now() - notifications.polledAt()
      return ms > stuckMs ? `has not turned for ${Math.round(ms / 1000)} s` : undefined
    },
    ready: () => notifications.problem(),
    status: () => notifications.status(),
  }
}

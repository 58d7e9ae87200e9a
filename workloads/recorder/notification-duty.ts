import { turns } from '../../lib/probes.ts'
import { createKafkaNotifications, type KafkaNotificationsOptions } from '../notifications/kafka-notifications.ts'
import type { Duty } from './duty.ts'

/** Tells the receivers of the pipeline of its episodes. */
export function notificationDuty(options: KafkaNotificationsOptions): Duty {
  const notifications = createKafkaNotifications(options)
  return {
    name: 'notifications',
    parts: [notifications],
    live: turns(notifications.polledAt),
    ready: () => notifications.problem(),
    status: () => notifications.status(),
  }
}

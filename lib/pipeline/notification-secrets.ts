import type { Notification } from './spec.ts'

/** Entries of a Secret that a notification names. */
export interface NotificationSecret {
  readonly name: string
  readonly keys: readonly string[]
  /** Where it is named, within the notification. */
  readonly field: string
}

/** The Secrets that a notification reads. */
export function notificationSecrets({
  webhook,
  slack,
  alertmanager,
  pagerduty,
}: Notification): readonly NotificationSecret[] {
  const entries = [
    ['webhook.urlSecretRef', webhook?.urlSecretRef],
    ['webhook.hmacSecretRef', webhook?.hmacSecretRef],
    ['slack.urlSecretRef', slack?.urlSecretRef],
    ['alertmanager.bearerSecretRef', alertmanager?.bearerSecretRef],
    ['pagerduty.routingKeySecretRef', pagerduty?.routingKeySecretRef],
  ] as const
  const basic = alertmanager?.basicSecretRef
  return [
    ...entries.flatMap(([field, ref]) => (ref === undefined ? [] : [{ name: ref.name, keys: [ref.key], field }])),
    ...(basic === undefined
      ? []
      : [{ name: basic.name, keys: ['username', 'password'], field: 'alertmanager.basicSecretRef' }]),
  ]
}

import { join } from 'node:path'
import { AppError } from '../../lib/errors.ts'
import { notificationSecrets } from '../../lib/pipeline/notification-secrets.ts'
import type { Notification } from '../../lib/pipeline/spec.ts'
import { lineOfFile } from '../settings/text-file.ts'
import { alertmanager } from './alertmanager.ts'
import type { Subject } from './episode-text.ts'
import { pagerduty, pagerdutyUrl } from './pagerduty.ts'
import type { OpenEpisodes, Receiver } from './receiver.ts'
import { slack } from './slack.ts'
import { webhook } from './webhook.ts'

export interface ReceiverContext {
  readonly subject: Subject
  readonly open: OpenEpisodes
  /** Milliseconds since 1970. */
  readonly wall: () => number
  /** The entries of Secrets as files: FOLDER/<secret>/<entry>. */
  readonly secretsFolder: string | undefined
}

/** @throws AppError InvalidArgument where a secret is missing or of no use */
export function createReceiver(notification: Notification, context: ReceiverContext): Receiver {
  const { subject, open, wall, secretsFolder } = context
  const [first] = notificationSecrets(notification)
  if (first !== undefined && secretsFolder === undefined)
    throw new AppError(
      'InvalidArgument',
      `notifications ${notification.name}: ${first.field} names a Secret: put its entries into files FOLDER/${first.name}/${first.keys[0]} and give --secrets-folder FOLDER`,
    )
  const secret = ({ name, key }: { readonly name: string; readonly key: string }): string =>
    lineOfFile(join(secretsFolder!, name, key))
  const secretUrl = (ref: { readonly name: string; readonly key: string }): string => {
    const url = secret(ref)
    if (/^https?:$/.test(URL.parse(url)?.protocol ?? '')) return url
    throw new AppError(
      'InvalidArgument',
      `Cannot use ${join(secretsFolder!, ref.name, ref.key)}: it must hold an http address`,
    )
  }
  if (notification.webhook !== undefined) {
    const { url, urlSecretRef, hmacSecretRef, headers = {}, whenClosed } = notification.webhook
    return webhook({
      url: url ?? secretUrl(urlSecretRef!),
      hmacKey: hmacSecretRef === undefined ? undefined : secret(hmacSecretRef),
      headers,
      tellsClosed: whenClosed !== 'Silent',
      subject,
    })
  }
  if (notification.slack !== undefined) {
    const { urlSecretRef, whenClosed } = notification.slack
    return slack({ url: secretUrl(urlSecretRef), tellsClosed: whenClosed !== 'Silent', subject })
  }
  if (notification.alertmanager !== undefined) {
    const { url, basicSecretRef: basic, bearerSecretRef: bearer } = notification.alertmanager
    const login = basic && `${secret({ ...basic, key: 'username' })}:${secret({ ...basic, key: 'password' })}`
    const authorization =
      login !== undefined ? `Basic ${Buffer.from(login).toString('base64')}` : bearer && `Bearer ${secret(bearer)}`
    return alertmanager({ url, authorization, subject, open, wall })
  }
  const { url = pagerdutyUrl, routingKeySecretRef } = notification.pagerduty!
  return pagerduty({ url, routingKey: secret(routingKeySecretRef), subject, open })
}

import { secrets } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, childName, type Parent, ports } from './child.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** The key with which the API signs verdicts for the consumers. */
export const signingSecret = (parent: Parent, key: string): KubeObject =>
  child(parent, secrets, 'signing', { type: 'Opaque', data: { key: base64(key) } })

/** Password of the managed Redis, as each reader needs it: the server's configuration, and the address by its Service for clients. */
export function redisSecret(parent: Parent, password: string, suffix: string): KubeObject {
  const host = `${childName(parent, suffix)}.${parent.pipeline.metadata.namespace}.svc`
  const data = {
    password: base64(password),
    url: base64(`redis://:${password}@${host}:${ports.redis}`),
    'auth.conf': base64(`requirepass ${password}\n`),
  }
  return child(parent, secrets, 'redis', { type: 'Opaque', data }, { component: 'redis' })
}

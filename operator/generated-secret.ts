import type { Pipeline } from '../lib/pipeline/spec.ts'
import { secrets } from './kinds.ts'
import type { Cache } from './runtime/cache.ts'
import type { KubeClient } from './runtime/kube-client.ts'
import { statusOf } from './runtime/kube-status.ts'

/** A value that nobody chose: which Secret keeps it, and where in it. */
export interface GeneratedSecret {
  readonly suffix: string
  readonly entry: string
}

export const signingKey: GeneratedSecret = { suffix: 'signing', entry: 'key' }
export const redisPassword: GeneratedSecret = { suffix: 'redis', entry: 'password' }

export interface ReadOptions {
  readonly client: KubeClient
  readonly secrets: Cache
  readonly signal: AbortSignal
}

/** The value as its Secret has it, wherever that is seen; undefined where there is none. */
export async function readGeneratedSecret(
  { metadata }: Pipeline,
  { suffix, entry }: GeneratedSecret,
  { client, secrets: seen, signal }: ReadOptions,
): Promise<string | undefined> {
  const { namespace } = metadata
  const name = `${metadata.name}-${suffix}`
  let secret = seen.get(`${namespace}/${name}`)
  try {
    // One that lost its label is not in the cache, and its value must not be replaced all the same.
    secret ??= await client.get(secrets, { namespace, name }, { signal })
  } catch (error) {
    if (statusOf(error)?.code !== 404) throw error
  }
  const value = (secret?.data as Readonly<Record<string, string>> | undefined)?.[entry]
  return value === undefined ? undefined : Buffer.from(value, 'base64').toString()
}

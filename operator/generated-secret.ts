import { randomBytes } from 'node:crypto'
import { childName, type Parent } from './desired/child.ts'
import { secrets } from './kinds.ts'
import type { Applier } from './runtime/apply.ts'
import type { Cache } from './runtime/cache.ts'
import type { KubeClient } from './runtime/kube-client.ts'
import type { KubeObject } from './runtime/kube-object.ts'
import { statusOf } from './runtime/kube-status.ts'

/** A value that nobody chose, and the Secret that keeps it. */
export interface GeneratedSecret {
  readonly suffix: string
  readonly entry: string
  readonly manifest: (parent: Parent, value: string) => KubeObject
}

export interface GeneratedSecretOptions {
  readonly client: KubeClient
  readonly applier: Applier
  readonly secrets: Cache
  readonly signal: AbortSignal
}

/**
 * The value as its Secret has it, wherever that is seen; else a new one, stored before anything can depend on it: pods
 * that were started with a value that nobody keeps would be rolled to another one without end.
 */
export async function generatedSecret(
  parent: Parent,
  { suffix, entry, manifest }: GeneratedSecret,
  { client, applier, secrets: seen, signal }: GeneratedSecretOptions,
): Promise<string> {
  const name = childName(parent, suffix)
  const { namespace } = parent.pipeline.metadata
  let secret = seen.get(`${namespace}/${name}`)
  try {
    // One that lost its label is not in the cache, and must not be overwritten all the same.
    secret ??= await client.get(secrets, { namespace, name }, { signal })
  } catch (error) {
    if (statusOf(error)?.code !== 404) throw error
  }
  const kept = (secret?.data as Readonly<Record<string, string>> | undefined)?.[entry]
  if (kept !== undefined) return Buffer.from(kept, 'base64').toString()
  const made = randomBytes(32).toString('hex')
  await applier.apply(manifest(parent, made), { signal })
  return made
}

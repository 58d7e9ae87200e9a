import { notificationSecrets } from '../lib/pipeline/notification-secrets.ts'
import { readsEvents, resolveDetectors, resolveRedis, resolveRoles } from '../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline, Role } from '../lib/pipeline/spec.ts'
import { hashOf } from './desired/child.ts'
import type { Problem } from './problem.ts'
import type { KubeObject } from './runtime/kube-object.ts'

/** A Secret or ConfigMap that a pipeline names, for one of its workloads. */
export interface SecretUse {
  /** A Secret if absent. */
  readonly kind?: 'ConfigMap' | undefined
  readonly name: string
  /** Entries that must be there; none: at least one of any name. */
  readonly keys: readonly string[]
  /** Where the pipeline names it. */
  readonly field: string
}

/** The Secrets that a workload of the pipeline reads. */
export function secretsOf(pipeline: Pipeline, role: Role): readonly SecretUse[] {
  if (!resolveRoles(pipeline.spec).includes(role)) return []
  const { source, api } = pipeline.spec
  const uses: SecretUse[] = []
  if (role !== 'recorder') uses.push(...redisSecrets(pipeline))
  if (role === 'inference') return [...uses, ...modelMaps(pipeline)]
  uses.push(...tlsSecrets(source.tls, 'spec.source.tls'))
  if (source.sasl !== undefined) {
    const field = 'spec.source.sasl.secretRef'
    uses.push({ name: source.sasl.secretRef.name, keys: ['username', 'password'], field })
  }
  if (readsEvents(role, pipeline.spec) && source.schemaRegistry?.secretRef !== undefined) {
    const field = 'spec.source.schemaRegistry.secretRef'
    uses.push({ name: source.schemaRegistry.secretRef.name, keys: ['username', 'password'], field })
  }
  if (role === 'recorder' || role === 'api') uses.push(...historySecrets(pipeline))
  if (role === 'recorder')
    for (const [i, notification] of (pipeline.spec.notifications ?? []).entries())
      for (const { name, keys, field } of notificationSecrets(notification))
        uses.push({ name, keys, field: `spec.notifications[${i}].${field}` })
  if (role === 'api' && api.auth.secretRef !== undefined)
    uses.push({ name: api.auth.secretRef.name, keys: [], field: 'spec.api.auth.secretRef' })
  return uses
}

function redisSecrets(pipeline: Pipeline): readonly SecretUse[] {
  const redis = resolveRedis(pipeline)
  if (redis.type === 'managed') return []
  const { name, key } = redis.urlSecretRef
  const field = 'spec.state.redis.external'
  return [{ name, keys: [key], field: `${field}.urlSecretRef` }, ...tlsSecrets(redis.tls, `${field}.tls`)]
}

function historySecrets({ spec: { history } }: Pipeline): readonly SecretUse[] {
  if (history === undefined) return []
  const { urlSecretRef, tls } = history.postgres
  const { name, key } = urlSecretRef
  const field = 'spec.history.postgres'
  return [{ name, keys: [key], field: `${field}.urlSecretRef` }, ...tlsSecrets(tls, `${field}.tls`)]
}

/** The ConfigMaps with models. */
function modelMaps({ spec }: Pipeline): readonly SecretUse[] {
  return resolveDetectors(spec.detection).flatMap((detector) => {
    const { configMap } = detector.type === 'onnx' ? detector.from : {}
    if (configMap === undefined) return []
    const field = `spec.detection.detectors[${detector.name}].onnx.from.configMap`
    return [{ kind: 'ConfigMap' as const, name: configMap.name, keys: [configMap.key], field }]
  })
}

function tlsSecrets(tls: Pipeline['spec']['source']['tls'], field: string): readonly SecretUse[] {
  const { caSecretRef: ca, certificateSecretRef: certificate } = tls ?? {}
  return [
    ...(ca === undefined ? [] : [{ name: ca.name, keys: [ca.key], field: `${field}.caSecretRef` }]),
    ...(certificate === undefined
      ? []
      : [{ name: certificate.name, keys: ['tls.crt', 'tls.key'], field: `${field}.certificateSecretRef` }]),
  ]
}

export type SecretsFound =
  /** Hash of the entries that are read. To be shown to anyone it needs salt: a password could be guessed from it. */
  { readonly hash: string; readonly problem?: never } | { readonly problem: Problem; readonly hash?: never }

/** Whether all is there that the uses want, and a hash of that. Nothing of a value leaves this function. */
export function findSecrets(
  uses: readonly SecretUse[],
  get: (name: string, kind: SecretUse['kind']) => KubeObject | null | undefined,
): SecretsFound {
  const found: unknown[] = []
  for (const { name, keys, field, kind } of uses) {
    const secret = get(name, kind)
    const of = `${kind ?? 'Secret'} ${name} (${field})`
    if (secret === undefined) {
      const message = `${of} cannot be read: the API server refuses it or does not answer; the operator's log has the reason`
      return { problem: { reason: `${kind ?? 'Secret'}Unreadable`, message, stalled: false } }
    }
    if (secret === null) return missing(`${of} does not exist`, kind)
    const { data: texts, binaryData } = secret as { readonly data?: object; readonly binaryData?: object }
    const data = { ...texts, ...binaryData } as Readonly<Record<string, string>>
    const absent = keys.find((key) => data[key] === undefined)
    if (absent !== undefined) return missing(`${of} has no entry ${absent}`, kind)
    if (keys.length === 0 && Object.keys(data).length === 0) return missing(`${of} is empty`, kind)
    found.push(keys.length === 0 ? data : keys.map((key) => data[key]))
  }
  return { hash: hashOf(found) }
}

const missing = (message: string, kind: SecretUse['kind']): SecretsFound => ({
  problem: { reason: `${kind ?? 'Secret'}Missing`, message, stalled: true },
})

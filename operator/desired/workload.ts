import { notificationSecrets } from '../../lib/pipeline/notification-secrets.ts'
import { readsEvents, resolveRedis } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Role } from '../../lib/pipeline/spec.ts'
import { readBy } from '../../lib/pipeline/workload-part.ts'
import { deployments } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, childName, hashOf, type Parent, replicasAnnotation, selectorLabels } from './child.ts'
import { pipelineFileMount, pipelineFilePath } from './pipeline-file.ts'
import { type EnvironmentVariable, type Mount, metricsPort, podTemplate, probes } from './pod.ts'
import type { ReplicasPlan } from './replicas.ts'
import { mergedResources } from './resources.ts'

/** What a workload is made from besides the pipeline. */
export interface WorkloadInput extends Parent {
  readonly image: string
  readonly logLevel: string
  readonly otlpEndpoint?: string | undefined
  readonly replicas: ReplicasPlan
  /** Hash of the Secrets that it reads. */
  readonly secretsHash: string
  readonly restartAt?: string | undefined
  readonly imagePullSecrets?: readonly string[] | undefined
}

export interface WorkloadOptions {
  readonly role: Role
  readonly flags: readonly string[]
  readonly env?: readonly EnvironmentVariable[]
  readonly mounts?: readonly Mount[]
  readonly containerPorts?: readonly { readonly name: string; readonly containerPort: number }[]
  readonly requests: { readonly cpu: string; readonly memory: string }
  readonly memoryLimit: string
  /** Callers find it by a Service: it goes on serving until the endpoints have lost it. */
  readonly served: boolean
}

/** User `node` of the image. */
const user = 1000

/** A Deployment of one of the three commands, with what they have in common. */
export function workload(input: WorkloadInput, options: WorkloadOptions): KubeObject {
  const { pipeline, image, logLevel, otlpEndpoint, replicas, secretsHash, restartAt, imagePullSecrets } = input
  const { role, flags, env = [], mounts = [], containerPorts = [], requests, memoryLimit, served } = options
  const { template } = pipeline.spec[role]
  const resources = mergedResources(pipeline.spec[role].resources, { requests, limits: { memory: memoryLimit } })
  const redis = role === 'recorder' ? noAccess : redisAccess(input)
  const args = [role, '-f', pipelineFilePath, ...flags, ...redis.flags, '--log-level', template?.logLevel ?? logLevel]
  if (template?.logFormat !== undefined) args.push('--log-format', template.logFormat.toLowerCase())
  if (otlpEndpoint !== undefined) args.push('--otlp-endpoint', otlpEndpoint)
  const preStop = served ? { lifecycle: { preStop: { sleep: { seconds: 5 } } } } : {}
  const body = {
    spec: {
      ...(replicas.replicas === undefined ? {} : { replicas: replicas.replicas }),
      selector: { matchLabels: selectorLabels(input, role) },
      revisionHistoryLimit: 3,
      progressDeadlineSeconds: 600,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: podTemplate(input, role, {
        image,
        args,
        env: [...env, ...redis.env],
        mounts: [pipelineFileMount(input), ...mounts, ...redis.mounts],
        container: { ports: [...containerPorts, metricsPort], resources, ...probes, ...preStop },
        user,
        configuration: hashOf(readBy(role, pipeline)),
        secrets: secretsHash,
        restartAt,
        template,
        terminationGracePeriodSeconds: 45,
        imagePullSecrets,
      }),
    },
  }
  const annotations = { [replicasAnnotation]: replicas.mark }
  return child(input, deployments, role, body, { component: role, annotations })
}

interface Access {
  readonly flags: readonly string[]
  readonly env: readonly EnvironmentVariable[]
  readonly mounts: readonly Mount[]
}

const noAccess: Access = { flags: [], env: [], mounts: [] }

/** How a workload reaches the Redis of its pipeline: the address comes from a Secret, since it may hold a password. */
function redisAccess(parent: Parent): Access {
  const redis = resolveRedis(parent.pipeline)
  const url =
    redis.type === 'managed'
      ? { name: childName(parent, 'redis'), key: 'url' }
      : { name: redis.urlSecretRef.name, key: redis.urlSecretRef.key }
  const env = [{ name: 'ANOMALY_REDIS_URL', valueFrom: { secretKeyRef: url } }]
  return { env, ...(redis.type === 'managed' ? { flags: [], mounts: [] } : tlsAccess('redis', redis.tls)) }
}

/** How the consumer and the API reach Kafka; the brokers are in the document. */
export function kafkaAccess({ pipeline }: Parent): Pick<Access, 'flags' | 'mounts'> {
  const { tls, sasl } = pipeline.spec.source
  const secured = tlsAccess('kafka', tls)
  if (sasl === undefined) return secured
  const path = '/etc/anomaly/kafka-sasl'
  return {
    flags: [...secured.flags, '--kafka-username-file', `${path}/username`, '--kafka-password-file', `${path}/password`],
    mounts: [...secured.mounts, { name: 'kafka-sasl', path, source: secretFiles(sasl.secretRef.name) }],
  }
}

/** How the recorder and the API reach the database of the history: the address holds a password. */
export function historyAccess({ pipeline }: Parent): Access {
  const { history } = pipeline.spec
  if (history === undefined) return noAccess
  const { urlSecretRef, tls } = history.postgres
  const { name, key } = urlSecretRef
  return {
    env: [{ name: 'ANOMALY_POSTGRES_URL', valueFrom: { secretKeyRef: { name, key } } }],
    ...tlsAccess('postgres', tls),
  }
}

/** The Secrets that notifications name, a folder each with its entries as files. */
export function notificationAccess({ pipeline }: Parent): Pick<Access, 'flags' | 'mounts'> {
  const keys = new Map<string, Set<string>>()
  for (const secret of (pipeline.spec.notifications ?? []).flatMap(notificationSecrets))
    keys.set(secret.name, new Set([...(keys.get(secret.name) ?? []), ...secret.keys]))
  if (keys.size === 0) return { flags: [], mounts: [] }
  const path = '/etc/anomaly/notifications'
  const sources = Array.from(keys, ([name, of]) => ({
    secret: { name, items: Array.from(of, (key) => ({ key, path: `${name}/${key}` })) },
  }))
  return {
    flags: ['--secrets-folder', path],
    mounts: [{ name: 'notifications', path, source: { projected: { sources } } }],
  }
}

/** How those who read events log in to the schema registry; its address is in the document. */
export function schemaRegistryAccess({ pipeline }: Parent, role: Role): Pick<Access, 'flags' | 'mounts'> {
  const secret = pipeline.spec.source.schemaRegistry?.secretRef
  if (secret === undefined || !readsEvents(role, pipeline.spec)) return { flags: [], mounts: [] }
  const path = '/etc/anomaly/schema-registry'
  const files = [
    '--schema-registry-username-file',
    `${path}/username`,
    '--schema-registry-password-file',
    `${path}/password`,
  ]
  return { flags: files, mounts: [{ name: 'schema-registry', path, source: secretFiles(secret.name) }] }
}

/** The certificates for a server: flags and files with its name. */
export function tlsAccess(
  server: 'kafka' | 'redis' | 'postgres' | 'from' | 'to',
  tls: NonNullable<Parent['pipeline']['spec']['source']['tls']> | undefined,
): Pick<Access, 'flags' | 'mounts'> {
  const flags: string[] = []
  const mounts: Mount[] = []
  const path = `/etc/anomaly/${server}`
  if (tls?.caSecretRef !== undefined) {
    const { name, key } = tls.caSecretRef
    flags.push(`--${server}-ca-file`, `${path}-ca/ca.crt`)
    mounts.push({ name: `${server}-ca`, path: `${path}-ca`, source: secretFiles(name, [{ key, path: 'ca.crt' }]) })
  }
  if (tls?.certificateSecretRef !== undefined) {
    flags.push(`--${server}-cert-file`, `${path}-tls/tls.crt`, `--${server}-key-file`, `${path}-tls/tls.key`)
    mounts.push({ name: `${server}-tls`, path: `${path}-tls`, source: secretFiles(tls.certificateSecretRef.name) })
  }
  return { flags, mounts }
}

const secretFiles = (secretName: string, items?: readonly { key: string; path: string }[]) => ({
  secret: { secretName, ...(items === undefined ? {} : { items }) },
})

/** The key with which the API signs and the consumers verify. */
export function signingAccess(parent: Parent): Pick<Access, 'flags' | 'mounts'> {
  const path = '/etc/anomaly/signing'
  return {
    flags: ['--signing-key-file', `${path}/key`],
    mounts: [{ name: 'signing', path, source: secretFiles(childName(parent, 'signing')) }],
  }
}

export const tokensMount = (secretName: string): Mount => ({
  name: 'tokens',
  path: '/etc/anomaly/tokens',
  source: secretFiles(secretName),
})

export const inferenceAddress = (parent: Parent): string =>
  `${childName(parent, 'inference')}.${parent.pipeline.metadata.namespace}.svc:50051`

import type { ResolvedRedis } from '../../lib/pipeline/resolve-pipeline.ts'
import { services, statefulSets } from '../kinds.ts'
import { fenceSeconds, nobody, type RedisRecord } from '../redis/redis-pair.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, childName, hashOf, type Parent, ports, selectorLabels } from './child.ts'
import { type Mount, podTemplate } from './pod.ts'
import { restoreContainer } from './redis-backup.ts'
import { amountOf, mergedResources } from './resources.ts'
import { service } from './service.ts'

export interface RedisInput extends Parent {
  readonly redis: Extract<ResolvedRedis, { readonly type: 'managed' }>
  readonly image: string
  readonly password: string
  readonly paused: boolean
  /** Where there are two, or were: which of them leads. */
  readonly record?: RedisRecord | undefined
  /** With which its volume was made, where it was: what it is made of cannot change. */
  readonly claimSize?: string | undefined
  readonly restartAt?: string | undefined
  readonly imagePullSecrets?: readonly string[] | undefined
}

/** User `redis` of the image. */
const user = 999

/** Of the Service of the primary: whether the other pod has what it has. */
const inSyncAnnotation = 'anomaly.com/redis-in-sync'
const podNameLabel = 'statefulset.kubernetes.io/pod-name'

/** `payments-redis-0` */
export const redisPod = (name: string, ordinal: 0 | 1): string => `${name}-redis-${ordinal}`

/** Where the cluster keeps which pod leads: in the Service by which clients find it. */
export function redisRecordOf(primaryService: KubeObject | undefined): RedisRecord | undefined {
  const { selector } = (primaryService?.spec ?? {}) as { readonly selector?: Readonly<Record<string, string>> }
  const primary = selector?.[podNameLabel]
  if (primary === undefined) return undefined
  return { primary, inSync: primaryService!.metadata.annotations?.[inSyncAnnotation] === 'true' }
}

/** Whether there are two pods: as long as the second leads there are, until it has handed over. */
export const isRedisPair = (name: string, replicas: number, record: RedisRecord | undefined): boolean =>
  replicas > 1 || (record !== undefined && record.primary !== redisPod(name, 0))

/** As a replica of nobody, which takes no writes, until the operator says whom it follows or that it leads. */
const pairArgs = [
  ...['--replicaof', ...nobody.split(':'), '--min-replicas-max-lag', String(fenceSeconds)],
  ...['--repl-ping-replica-period', '1', '--repl-timeout', '10', '--repl-diskless-sync-delay', '0'],
]

/** A replica is ready when it has what the primary has: a roll-out of the other waits for it. */
const pairReady = "redis-cli info replication | grep -Eq 'role:master|master_link_status:up'"

/** The Redis that the operator runs: one pod or two that append every write to their disk. */
export function managedRedis(input: RedisInput): readonly KubeObject[] {
  const { redis, image, password, paused, restartAt, record } = input
  const isPair = isRedisPair(input.pipeline.metadata.name, redis.replicas, record)
  const { memoryMebibytes, storage } = redis
  const isPersistent = storage.type === 'Persistent'
  const secretName = childName(input, 'redis')
  const mounts: readonly Mount[] = [
    { name: 'data', path: '/data', source: isPersistent ? {} : { emptyDir: {} }, writable: true },
    {
      name: 'auth',
      path: '/etc/redis',
      source: { secret: { secretName, items: [{ key: 'auth.conf', path: 'auth.conf' }] } },
    },
  ]
  const memory = `${memoryMebibytes}Mi`
  const resources = mergedResources(redis.resources, { requests: { cpu: '100m', memory }, limits: { memory } })
  const limitMebibytes = amountOf(resources.limits?.memory ?? memory) / 2 ** 20
  const answers = 'redis-cli ping | grep -q PONG'
  const probe = (command: string) => ({ exec: { command: ['sh', '-c', command] }, periodSeconds: 5, timeoutSeconds: 3 })
  const template = podTemplate(input, 'redis', {
    image,
    command: ['redis-server'],
    args: [
      ...['--include', '/etc/redis/auth.conf', '--port', String(ports.redis), '--dir', '/data'],
      // What a copy of the data for a rewrite of the log needs must fit as well.
      ...['--maxmemory', `${Math.floor(limitMebibytes * 0.75)}mb`, '--maxmemory-policy', 'volatile-lru'],
      ...['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', ''],
      ...(isPair ? pairArgs : []),
    ],
    env: [{ name: 'REDISCLI_AUTH', valueFrom: { secretKeyRef: { name: secretName, key: 'password' } } }],
    mounts,
    container: {
      ports: [{ name: 'redis', containerPort: ports.redis }],
      resources,
      startupProbe: { ...probe(answers), failureThreshold: 120 },
      readinessProbe: { ...probe(isPair ? `${answers} && ${pairReady}` : answers), failureThreshold: 2 },
      livenessProbe: { tcpSocket: { port: 'redis' }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
    },
    user,
    secrets: hashOf(password),
    restartAt,
    template: redis.template,
    terminationGracePeriodSeconds: 60,
    init: restoreContainer(redis, image),
    imagePullSecrets: input.imagePullSecrets,
  })
  const claim = {
    metadata: { name: 'data', labels: selectorLabels(input, 'redis') },
    spec: {
      accessModes: ['ReadWriteOnce'],
      ...(storage.storageClassName === undefined ? {} : { storageClassName: storage.storageClassName }),
      resources: { requests: { storage: input.claimSize ?? storage.size } },
    },
  }
  const spec = {
    replicas: paused ? 0 : isPair ? 2 : 1,
    // Before the other is replaced, it is written down that this one may take over.
    ...(isPair ? { minReadySeconds: 10 } : {}),
    serviceName: secretName,
    // With OrderedReady a pod that cannot start is never replaced by one of a corrected template.
    podManagementPolicy: 'Parallel',
    selector: { matchLabels: selectorLabels(input, 'redis') },
    updateStrategy: { type: 'RollingUpdate' },
    template,
    ...(isPersistent
      ? {
          volumeClaimTemplates: [claim],
          persistentVolumeClaimRetentionPolicy: { whenDeleted: storage.whenDeleted, whenScaled: 'Retain' },
        }
      : {}),
  }
  return [
    service(input, 'redis', [{ name: 'redis', port: ports.redis }], { headless: true }),
    ...(record === undefined ? [] : [primaryService(input, record)]),
    child(input, statefulSets, 'redis', { spec }, { component: 'redis' }),
  ]
}

/** The one that takes the writes, by an address that stays: names are remembered for longer than a fail-over takes. */
function primaryService(parent: Parent, { primary, inSync }: RedisRecord): KubeObject {
  const spec = {
    type: 'ClusterIP',
    selector: { ...selectorLabels(parent, 'redis'), [podNameLabel]: primary },
    ports: [{ name: 'redis', port: ports.redis, targetPort: 'redis', protocol: 'TCP' }],
  }
  const annotations = { [inSyncAnnotation]: String(inSync) }
  return child(parent, services, 'redis-primary', { spec }, { component: 'redis', annotations })
}

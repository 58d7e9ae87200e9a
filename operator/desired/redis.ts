import type { ResolvedRedis } from '../../lib/pipeline/resolve-pipeline.ts'
import { statefulSets } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, childName, hashOf, type Parent, ports, selectorLabels } from './child.ts'
import { type Mount, podTemplate } from './pod.ts'
import { mergedResources } from './resources.ts'
import { service } from './service.ts'

export interface RedisInput extends Parent {
  readonly redis: Extract<ResolvedRedis, { readonly type: 'managed' }>
  readonly image: string
  readonly password: string
  readonly paused: boolean
  readonly restartAt?: string | undefined
  readonly imagePullSecrets?: readonly string[] | undefined
}

/** User `redis` of the image. */
const user = 999

/** The Redis that the operator runs: one pod that appends every write to its disk. */
export function managedRedis(input: RedisInput): readonly KubeObject[] {
  const { redis, image, password, paused, restartAt } = input
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
  const ping = { exec: { command: ['sh', '-c', 'redis-cli ping | grep -q PONG'] }, periodSeconds: 5, timeoutSeconds: 3 }
  const template = podTemplate(input, 'redis', {
    image,
    command: ['redis-server'],
    args: [
      ...['--include', '/etc/redis/auth.conf', '--port', String(ports.redis), '--dir', '/data'],
      // What a copy of the data for a rewrite of the log needs must fit as well.
      ...['--maxmemory', `${Math.floor(memoryMebibytes * 0.75)}mb`, '--maxmemory-policy', 'volatile-lru'],
      ...['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', ''],
    ],
    env: [{ name: 'REDISCLI_AUTH', valueFrom: { secretKeyRef: { name: secretName, key: 'password' } } }],
    mounts,
    container: {
      ports: [{ name: 'redis', containerPort: ports.redis }],
      resources: mergedResources(redis.resources, { requests: { cpu: '100m', memory }, limits: { memory } }),
      startupProbe: { ...ping, failureThreshold: 120 },
      readinessProbe: { ...ping, failureThreshold: 2 },
      livenessProbe: { tcpSocket: { port: 'redis' }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
    },
    user,
    secrets: hashOf(password),
    restartAt,
    template: redis.template,
    terminationGracePeriodSeconds: 60,
    imagePullSecrets: input.imagePullSecrets,
  })
  const claim = {
    metadata: { name: 'data', labels: selectorLabels(input, 'redis') },
    spec: {
      accessModes: ['ReadWriteOnce'],
      ...(storage.storageClassName === undefined ? {} : { storageClassName: storage.storageClassName }),
      resources: { requests: { storage: storage.size } },
    },
  }
  const spec = {
    replicas: paused ? 0 : 1,
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
    child(input, statefulSets, 'redis', { spec }, { component: 'redis' }),
  ]
}

import type { ResolvedRedis } from '../../lib/pipeline/resolve-pipeline.ts'
import { cronJobs } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, childName, hashOf, type Parent, ports, selectorLabels } from './child.ts'
import { placementOf, podTemplate } from './pod.ts'

type ManagedRedis = Extract<ResolvedRedis, { readonly type: 'managed' }>

/** Where the claim with the backups is, in the pods that write or read one. */
const backupPath = '/backup'

/** Of the folder of a pipeline in the claim: several may share one. */
const folderOf = ({ pipeline: { metadata } }: Parent): string => `${metadata.namespace}_${metadata.name}`

/** The file has its name only when it is whole. */
export const backupScript = `set -eu
folder="$BACKUPS/$FOLDER"
mkdir -p "$folder"
part="$folder/.part"
redis-cli -h "$REDIS_HOST" -p "$REDIS_PORT" --rdb "$part" > /dev/null
redis-check-rdb "$part" > /dev/null
sync
mv "$part" "$folder/$(date -u +%Y-%m-%dT%H-%M-%SZ).rdb"
ls -1 "$folder" | grep '\\.rdb$' | sort -r | tail -n +"$((KEEP + 1))" | while read -r old; do rm "$folder/$old"; done
`

/** Makes a backup the first part of an append-only file, once: what a server has of its own is never touched. */
export const restoreScript = `set -eu
if [ -e "$DATA/appendonlydir" ]; then exit 0; fi
from="$BACKUPS/$FROM"
if [ -d "$from" ]; then from="$from/$(ls -1 "$from" | grep '\\.rdb$' | sort | tail -n 1)"; fi
if [ ! -f "$from" ]; then echo "restoreFrom: the claim has no backup $FROM"; exit 1; fi
if ! redis-check-rdb "$from" > /dev/null; then echo "restoreFrom: the backup $FROM is damaged"; exit 1; fi
rm -rf "$DATA/restoring"
mkdir "$DATA/restoring"
cp "$from" "$DATA/restoring/appendonly.aof.1.base.rdb"
echo 'file appendonly.aof.1.base.rdb seq 1 type b' > "$DATA/restoring/appendonly.aof.manifest"
mv "$DATA/restoring" "$DATA/appendonlydir"
`

export interface BackupInput extends Parent {
  readonly redis: ManagedRedis
  readonly image: string
  readonly password: string
  readonly paused: boolean
  /** Name of the Service of Redis, after that of the pipeline. */
  readonly service: string
  readonly imagePullSecrets?: readonly string[] | undefined
}

/** Writes what Redis has to a claim, by schedule; none where no backup is asked for. */
export function redisBackup(input: BackupInput): readonly KubeObject[] {
  const { redis, image, password, paused, service, imagePullSecrets } = input
  const { backup } = redis
  if (backup === undefined) return []
  const secretKeyRef = { name: childName(input, 'redis'), key: 'password' }
  const { metadata, spec } = podTemplate(input, 'redis-backup', {
    image,
    command: ['sh', '-c', backupScript],
    args: [],
    env: [
      { name: 'REDISCLI_AUTH', valueFrom: { secretKeyRef } },
      { name: 'REDIS_HOST', value: childName(input, service) },
      { name: 'REDIS_PORT', value: String(ports.redis) },
      { name: 'BACKUPS', value: backupPath },
      { name: 'FOLDER', value: folderOf(input) },
      { name: 'KEEP', value: String(backup.keep ?? 7) },
    ],
    mounts: [
      {
        name: 'backup',
        path: backupPath,
        source: { persistentVolumeClaim: { claimName: backup.claimName } },
        writable: true,
      },
    ],
    container: { resources: { requests: { cpu: '50m', memory: '64Mi' }, limits: { memory: '256Mi' } } },
    user: 999,
    secrets: hashOf(password),
    template: placementOf(redis.template),
    terminationGracePeriodSeconds: 5,
    imagePullSecrets,
  })
  const jobSpec = {
    backoffLimit: 2,
    activeDeadlineSeconds: 3600,
    template: { metadata, spec: { ...spec, restartPolicy: 'Never' } },
  }
  const labels = selectorLabels(input, 'redis-backup')
  const cronSpec = {
    schedule: backup.schedule,
    timeZone: 'Etc/UTC',
    concurrencyPolicy: 'Forbid',
    startingDeadlineSeconds: 3600,
    successfulJobsHistoryLimit: 1,
    failedJobsHistoryLimit: 1,
    suspend: paused,
    jobTemplate: { metadata: { labels }, spec: jobSpec },
  }
  return [child(input, cronJobs, 'redis-backup', { spec: cronSpec }, { component: 'redis-backup' })]
}

/** What runs before a server whose data may come from a backup. */
export function restoreContainer({ restoreFrom }: ManagedRedis, image: string) {
  if (restoreFrom === undefined) return undefined
  const container = {
    name: 'restore',
    image,
    command: ['sh', '-c', restoreScript],
    env: [
      { name: 'BACKUPS', value: backupPath },
      { name: 'FROM', value: restoreFrom.path },
      { name: 'DATA', value: '/data' },
    ],
    resources: { requests: { cpu: '50m', memory: '64Mi' }, limits: { memory: '256Mi' } },
    securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
    // The last line of its log says in the status why it ended.
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [
      { name: 'data', mountPath: '/data' },
      { name: 'backup', mountPath: backupPath, readOnly: true },
    ],
  }
  const volume = { name: 'backup', persistentVolumeClaim: { claimName: restoreFrom.claimName, readOnly: true } }
  return { container, volume }
}

import { resolveRedis } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import type { Verdict } from './conditions.ts'

export interface BackupState {
  readonly lastTime?: string | undefined
  readonly verdict: Verdict
}

interface CronJobStatus {
  readonly active?: readonly unknown[]
  readonly lastScheduleTime?: string
  readonly lastSuccessfulTime?: string
}

/** Undefined where no backup is asked for. */
export function backupState(pipeline: Pipeline, job: KubeObject | undefined): BackupState | undefined {
  const redis = resolveRedis(pipeline)
  if (redis.type !== 'managed' || redis.backup === undefined) return undefined
  const { active = [], lastScheduleTime, lastSuccessfulTime: lastTime } = (job?.status ?? {}) as CronJobStatus
  const began = Date.parse(lastScheduleTime ?? '') || 0
  const ended = Date.parse(lastTime ?? '') || 0
  if (began > ended && active.length === 0) {
    const { name } = pipeline.metadata
    const message = `The backup of ${lastScheduleTime} failed; the last one that succeeded is ${lastTime === undefined ? 'none' : `of ${lastTime}`}: kubectl logs -l app.kubernetes.io/instance=${name},app.kubernetes.io/component=redis-backup`
    return { lastTime, verdict: { status: 'False', reason: 'BackupFailed', message } }
  }
  return lastTime === undefined
    ? {
        verdict: {
          status: 'Unknown',
          reason: 'NoneYet',
          message: `The first backup is due by ${redis.backup.schedule}`,
        },
      }
    : { lastTime, verdict: { status: 'True', reason: 'BackedUp', message: 'The last backup succeeded' } }
}

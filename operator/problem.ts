import { AppError, messageOf } from '../lib/errors.ts'
import { statusOf } from './runtime/kube-client.ts'
import type { Problem } from './status.ts'

/** What a failed write, or whatever else was thrown on the way to it, means for the pipeline. */
export function problemOf(error: unknown): Problem {
  const message = messageOf(error)
  const code = statusOf(error)?.code
  // A quota, an admission policy, a role that lacks something, or a manifest that this API server does not take.
  if (code === 403 || code === 422) return { reason: 'ApplyRefused', message, stalled: true }
  if (!(error instanceof AppError)) return { reason: 'ReconcileFailed', message, stalled: false }
  if (error.code === 'Conflict' && code === undefined) return { reason: 'NameTaken', message, stalled: true }
  return { reason: 'ApplyFailed', message, stalled: false }
}

import { AppError, messageOf } from '../lib/errors.ts'
import { statusOf } from './runtime/kube-status.ts'

/** Why something is as it is: one word for programs, a sentence for people. */
export interface Reason {
  readonly reason: string
  readonly message: string
}

/** Something that keeps a pipeline from being as it should. */
export interface Problem extends Reason {
  /** Whether only a person can help. */
  readonly stalled: boolean
}

/** What a failed write, or whatever else was thrown on the way to it, means for the pipeline. */
export function problemOf(error: unknown): Problem {
  const message = messageOf(error)
  const code = statusOf(error)?.code
  // Server-side apply has no better code for a field that the kind lacks, as in an affinity with a typing error.
  const isUnknownField = code === 500 && message.includes('field not declared in schema')
  // Else a quota, an admission policy, a role that lacks something, or a value that this API server does not take.
  if (code === 403 || code === 422 || isUnknownField) return { reason: 'ApplyRefused', message, stalled: true }
  if (!(error instanceof AppError)) return { reason: 'ReconcileFailed', message, stalled: false }
  if (error.code === 'Conflict' && code === undefined) return { reason: 'NameTaken', message, stalled: true }
  return { reason: 'ApplyFailed', message, stalled: false }
}

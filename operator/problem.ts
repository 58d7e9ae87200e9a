import { AppError, messageOf } from '../lib/errors.ts'
import { inWordsOfDocument } from './document-path.ts'
import type { KubeObject } from './runtime/kube-object.ts'
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
  /** Whether the document asks for what the API server does not take. */
  readonly isOfDocument?: boolean
}

/** What a failed write, or whatever else was thrown on the way to it, means for the pipeline. */
export function problemOf(error: unknown, object?: KubeObject): Problem {
  const message = messageOf(error)
  const code = statusOf(error)?.code
  // Server-side apply has no better code for a field that the kind lacks, as in an affinity with a typing error.
  const isUnknownField = code === 500 && message.includes('field not declared in schema')
  if (code === 422 || isUnknownField) {
    const inDocument = object && inWordsOfDocument(message, object)
    return inDocument === undefined || inDocument === message
      ? { reason: 'ApplyRefused', message, stalled: true }
      : { reason: 'ApplyRefused', message: inDocument, stalled: true, isOfDocument: true }
  }
  // A quota, an admission policy, or a role that lacks something.
  if (code === 403) return { reason: 'ApplyRefused', message, stalled: true }
  if (!(error instanceof AppError)) return { reason: 'ReconcileFailed', message, stalled: false }
  if (error.code === 'Conflict' && code === undefined) return { reason: 'NameTaken', message, stalled: true }
  return { reason: 'ApplyFailed', message, stalled: false }
}

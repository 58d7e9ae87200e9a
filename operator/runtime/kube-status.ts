import http from 'node:http'
import { AppError, type ErrorCode } from '../../lib/errors.ts'

/** What the API server said of a call that it refused. */
export interface KubeStatus {
  /** HTTP status. */
  readonly code: number
  /** One word, such as `NotFound`, `AlreadyExists`, `Conflict`, `Expired`, `Invalid`. */
  readonly reason: string
  readonly message: string
  readonly details?: unknown
  /** How long it asks to wait. */
  readonly retryAfterMs?: number | undefined
}

/** What the API server said, where that is why the call failed. */
export function statusOf(error: unknown): KubeStatus | undefined {
  const cause = error instanceof AppError ? (error.cause as Partial<KubeStatus> | undefined) : undefined
  return cause !== undefined && typeof cause.reason === 'string' && typeof cause.code === 'number'
    ? (cause as KubeStatus)
    : undefined
}

/** Whether the API server refused it because the namespace is going: nothing can be made in it any more. */
export function isNamespaceTerminating(error: unknown): boolean {
  const details = statusOf(error)?.details as { readonly causes?: readonly { readonly reason?: string }[] } | undefined
  return details?.causes?.some(({ reason }) => reason === 'NamespaceTerminating') === true
}

/** Whether it was refused because the object of this name has another uid than the one that was sent. */
export function isOtherUid(error: unknown): boolean {
  const details = statusOf(error)?.details as { readonly causes?: readonly { readonly field?: string }[] } | undefined
  return details?.causes?.some(({ field }) => field === 'metadata.uid') === true
}

/** The error for a Status object, however it came: as an answer or as an event of a watch. */
export function errorOfStatus(what: string, body: unknown, httpCode: number, retryAfterMs?: number): AppError {
  const status = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>
  const code = typeof status.code === 'number' && status.code > 0 ? status.code : httpCode
  const reason =
    typeof status.reason === 'string' && status.reason !== '' ? status.reason : (http.STATUS_CODES[code] ?? 'Unknown')
  const message = typeof status.message === 'string' ? status.message : `HTTP ${code}`
  const cause: KubeStatus = { code, reason, message, details: status.details, retryAfterMs }
  return new AppError(codeOf(code), `Cannot ${what}: ${message} (${code} ${reason})`, { cause })
}

function codeOf(code: number): ErrorCode {
  if (code === 404) return 'NotFound'
  if (code === 401 || code === 403) return 'Unauthorized'
  if (code === 409 || code === 410) return 'Conflict'
  if (code === 400 || code === 405 || code === 413 || code === 415 || code === 422) return 'InvalidArgument'
  return 'Unavailable'
}

/** The API server no longer has, or does not yet have, the version that was asked for. */
export function isExpired(error: unknown): boolean {
  const status = statusOf(error)
  if (status === undefined) return false
  return status.code === 410 || (status.code === 504 && status.message.includes('Too large resource version'))
}

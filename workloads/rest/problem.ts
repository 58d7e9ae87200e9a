import { STATUS_CODES } from 'node:http'
import { AppError, type ErrorCode } from '../../lib/errors.ts'
import { DetectError, type Stored } from './door.ts'

/** Why a request, or one event of a batch, is not answered with a verdict. */
export interface Refusal {
  readonly reason: string
  /** The field at fault, as the event names it. */
  readonly field?: string | undefined
  /** Where JSON ends to be JSON: characters from the start of the body or, in NDJSON, of the line. */
  readonly position?: number | undefined
  readonly stored?: Stored | undefined
  readonly message: string
}

/** RFC 9457. `type` is about:blank, so `title` is the status in words; `reason` tells problems of one status apart. */
export interface Problem {
  readonly type: 'about:blank'
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly reason: string
  readonly field?: string | undefined
  readonly position?: number | undefined
  /** Of an event that was not answered: whether anything of it is stored. */
  readonly stored?: Stored | undefined
}

/** Reasons that are not listed are those of events that cannot be read: 422. */
const statusOfReason: Readonly<Record<string, number>> = {
  MalformedJson: 400,
  MalformedGzip: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  EventIdReused: 409,
  TooLarge: 413,
  TooManyEvents: 413,
  UnsupportedMediaType: 415,
  Unavailable: 503,
}

const statusOfCode: Partial<Record<ErrorCode, number>> = {
  InvalidArgument: 400,
  NotFound: 404,
  Conflict: 409,
  Unavailable: 503,
  DeadlineExceeded: 504,
}

export function problemOf(refusal: Refusal): Problem {
  const { reason, message, field, position, stored } = refusal
  return problem(statusOfReason[reason] ?? 422, reason, message, { field, position, stored })
}

/** What was thrown, as far as it is meant for the caller; anything unexpected is a 500 that says nothing. */
export function problemOfError(error: unknown): Problem {
  if (error instanceof AppError) {
    const status = statusOfCode[error.code]
    const more = error instanceof DetectError ? { stored: error.stored } : {}
    if (status !== undefined) return problem(status, error.code, error.message, more)
  }
  if (error instanceof URIError) return problem(400, 'MalformedPath', 'The path is not well-formed percent-encoding')
  return problem(500, 'Internal', 'The server failed to answer; its log names the request by its X-Request-Id')
}

function problem(
  status: number,
  reason: string,
  detail: string,
  more: Pick<Problem, 'field' | 'position' | 'stored'> = {},
): Problem {
  return { type: 'about:blank', title: STATUS_CODES[status]!, status, detail, reason, ...more }
}

export const errorCodes = [
  'InvalidArgument',
  'InvalidPipeline',
  'NotFound',
  'OutputFailed',
  'NothingJudged',
  'Unavailable',
  'Unauthorized',
  'Conflict',
  'Fenced',
  'DeadlineExceeded',
  'Internal',
] as const
export type ErrorCode = (typeof errorCodes)[number]

/** What the data plane talks to. */
export type Server = 'kafka' | 'state' | 'inference' | 'history'

/** Exit code of a command that ends with this error: 2 where what the user wrote is at fault, 3 where all went well and nothing came of it, else 1. */
const exitCodes: Partial<Record<ErrorCode, number>> = {
  InvalidArgument: 2,
  InvalidPipeline: 2,
  NotFound: 2,
  NothingJudged: 3,
}

/** The one error of this project. Its message is one line: what failed, where, and what to do. */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly retriable: boolean
  /** Whose failure it is, where it is a server's. */
  readonly server: Server | undefined

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; retriable?: boolean; server?: Server | undefined } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = 'AppError'
    this.code = code
    this.server = options.server
    this.retriable = options.retriable ?? (code === 'Unavailable' || code === 'DeadlineExceeded')
  }

  get exitCode(): number {
    return exitCodes[this.code] ?? 1
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  // A host has several addresses, and none of them answered.
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join(', ')
  return error instanceof Error ? error.message : String(error)
}

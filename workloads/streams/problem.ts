import { AppError, messageOf } from '../../lib/errors.ts'

/** What a stream needs in order to get on, and a record that holds it up. */
export const parts = ['kafka', 'state', 'inference', 'history', 'record'] as const
export type Part = (typeof parts)[number]

export interface Problem {
  readonly part: Part
  /** One line. */
  readonly message: string
}

/**
 * Whether a failure is of a server or a connection: it says nothing of the records that were in work. All that is known
 * of servers comes as an AppError.
 */
export function isServersFault(error: unknown): boolean {
  if (error instanceof AppError) return true
  if (!(error instanceof Error)) return false
  return error.name === 'AbortError' || error.name === 'TimeoutError' || 'syscall' in error
}

/** What failed. What no server gave is taken to be the record's; a server that is not named is `server`. */
export function problemOf(error: unknown, server: Part): Problem {
  const part = isServersFault(error) ? ((error as Partial<AppError>).server ?? server) : 'record'
  return { part, message: lineOf(error) }
}

/** The first line of what anything that was thrown says. */
export function lineOf(error: unknown): string {
  const [line = ''] = messageOf(error).split('\n', 1)
  return error instanceof AppError || !(error instanceof Error) ? line : `${error.name}: ${line}`
}

import { AppError, messageOf } from './errors.ts'

/** What of `process` it needs. */
export interface UnhandledHost {
  on(event: 'unhandledRejection' | 'uncaughtException', listener: (error: unknown) => void): unknown
  readonly stderr: { write(text: string): unknown }
  exit(code: number): unknown
}

/**
 * Ends the process, with one line and a non-zero code, where a promise that nobody awaits is rejected or a callback
 * throws: what state it left behind nobody knows, and whoever started the process starts it again.
 */
export function exitOnUnhandled(host: UnhandledHost): void {
  for (const event of ['unhandledRejection', 'uncaughtException'] as const)
    host.on(event, (error) => {
      host.stderr.write(`anomaly: ended by an error that nothing handles: ${lineOf(error)}\n`)
      host.exit(1)
    })
}

/** What was thrown, and where, unless the message says all. */
function lineOf(error: unknown): string {
  const message = messageOf(error)
    .trim()
    .replace(/\s*\n\s*/g, ' ')
  if (error instanceof AppError || !(error instanceof Error)) return message
  const frame = /^\s+at (.*)$/m.exec(error.stack ?? '')?.[1]
  return `${error.name}: ${message}${frame === undefined ? '' : ` (at ${frame})`}`
}

import type { OutgoingRequest } from './receiver.ts'

export const failureReasons = ['Timeout', 'Unreachable', 'Busy', 'ServerError', 'Refused', 'Redirected'] as const
export type FailureReason = (typeof failureReasons)[number]

export interface Failure {
  readonly reason: FailureReason
  /** In words, without the address: it may be a secret. */
  readonly message: string
  /** To send it again would change nothing. */
  readonly isFinal: boolean
  /** How long the receiver asks to wait. */
  readonly retryAfterMs?: number | undefined
}

export interface SendOptions {
  readonly signal: AbortSignal
  /** Milliseconds since 1970. */
  readonly wall: () => number
  readonly timeoutMs?: number | undefined
}

/** Sends it once; undefined where the receiver has taken it. Redirects are not followed: they may lead anywhere. */
export async function send(
  { url, body, headers }: OutgoingRequest,
  { signal, wall, timeoutMs = 10_000 }: SendOptions,
): Promise<Failure | undefined> {
  const late = AbortSignal.timeout(timeoutMs)
  try {
    const response = await fetch(url, {
      method: 'POST',
      body: body(),
      headers: headers(Math.floor(wall() / 1000)),
      redirect: 'manual',
      signal: AbortSignal.any([signal, late]),
    })
    // What it says is nobody's business: it is not read.
    response.body?.cancel().catch(() => {})
    return failureOf(response.status, response.headers.get('retry-after'), wall())
  } catch (error) {
    if (late.aborted)
      return { reason: 'Timeout', message: `no answer within ${Math.round(timeoutMs / 1000)} s`, isFinal: false }
    return { reason: 'Unreachable', message: unreachable(codeOf(error)), isFinal: false }
  }
}

/** Of a certificate whose chain ends at no authority that Node.js knows (OpenSSL's X509_V_ERR_*). */
const untrusted = /^(SELF_SIGNED_CERT|DEPTH_ZERO_SELF_SIGNED|UNABLE_TO_VERIFY_LEAF|UNABLE_TO_GET_ISSUER)/

function unreachable(code: string | undefined): string {
  if (code === undefined) return 'it cannot be reached'
  return untrusted.test(code)
    ? `its certificate is of an authority that is not trusted here (${code}); name the file of that authority in NODE_EXTRA_CA_CERTS`
    : `it cannot be reached (${code})`
}

/** Statuses of the 400s that pass. */
const passing = new Set([408, 425, 429])

function failureOf(status: number, retryAfter: string | null, now: number): Failure | undefined {
  if (status >= 200 && status < 300) return undefined
  const message = `it answers ${status}`
  const retryAfterMs = retryAfter === null ? undefined : retryAfterMsOf(retryAfter, now)
  if (passing.has(status) || status === 503) return { reason: 'Busy', message, isFinal: false, retryAfterMs }
  if (status >= 500) return { reason: 'ServerError', message, isFinal: false, retryAfterMs }
  return { reason: status < 400 ? 'Redirected' : 'Refused', message, isFinal: true }
}

/** Seconds or a date. */
function retryAfterMsOf(text: string, now: number): number | undefined {
  const ms = /^\s*\d+\s*$/.test(text) ? 1000 * Number(text) : Date.parse(text) - now
  return Number.isFinite(ms) && ms > 0 ? ms : undefined
}

/** The messages of network errors have addresses; their codes have none. */
function codeOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const [first] = at instanceof AggregateError ? at.errors : []
    const code = (at as NodeJS.ErrnoException).code ?? (first as NodeJS.ErrnoException | undefined)?.code
    if (typeof code === 'string') return code
  }
  return undefined
}

import { createHmac, hash, type KeyObject, timingSafeEqual } from 'node:crypto'
import type { Headers, OutgoingRecord } from '../../lib/kafka/records.ts'

const verdictHeader = 'anomaly-verdict'
const signatureHeader = 'anomaly-signature'
/** Only where the event has no id of its own: the one that it was answered with. */
const eventIdHeader = 'anomaly-event-id'

/** What a verdict is bound to. */
export interface JudgedRecord extends Pick<OutgoingRecord, 'topic' | 'key' | 'value'> {
  /** The event's id as it was read. */
  readonly eventId: string
}

/** The headers that carry a verdict (JSON) with its event's record. */
export function signVerdict(
  signingKey: KeyObject,
  record: JudgedRecord,
  verdict: string,
  options: { readonly isIdAssigned?: boolean | undefined } = {},
): Readonly<Record<string, string>> {
  const signature = signatureOf(signingKey, record, verdict).toString('base64url')
  const headers = { [verdictHeader]: verdict, [signatureHeader]: signature }
  return options.isIdAssigned === true ? { ...headers, [eventIdHeader]: record.eventId } : headers
}

/** The verdict that a record carries, if it was signed with this key for this very record; else undefined. */
export function verifyVerdict(signingKey: KeyObject, record: JudgedRecord, headers: Headers): string | undefined {
  const verdict = textOf(headers[verdictHeader])
  const signature = textOf(headers[signatureHeader])
  if (verdict === undefined || signature === undefined) return undefined
  const eventId = textOf(headers[eventIdHeader]) ?? record.eventId
  const expected = signatureOf(signingKey, { ...record, eventId }, verdict)
  const given = Buffer.from(signature, 'base64url')
  return given.length === expected.length && timingSafeEqual(given, expected) ? verdict : undefined
}

/** What a record says that it was judged; whether that is to be believed says `verifyVerdict`. */
export function verdictOf(headers: Headers): { readonly eventId: string } | undefined {
  const verdict = textOf(headers[verdictHeader])
  if (verdict === undefined) return undefined
  try {
    const { eventId } = JSON.parse(verdict)
    return typeof eventId === 'string' ? { eventId } : undefined
  } catch {
    return undefined
  }
}

/** HMAC-SHA-256 over the fields, each after its length, so that nothing can move from one to its neighbour. */
function signatureOf(signingKey: KeyObject, { topic, key, eventId, value }: JudgedRecord, verdict: string): Buffer {
  const digest = hash('sha256', value ?? '', 'buffer')
  const fields = ['anomaly-verdict-1', topic, key, eventId, digest, verdict]
  const message = Buffer.allocUnsafe(fields.reduce((sum, field) => sum + 4 + mostBytes(field), 0))
  let at = 0
  for (const field of fields) {
    const start = at + 4
    if (typeof field === 'string') at = start + message.write(field, start)
    else at = start + (field?.copy(message, start) ?? 0)
    message.writeInt32BE(field === null ? -1 : at - start, start - 4)
  }
  return createHmac('sha256', signingKey).update(message.subarray(0, at)).digest()
}

function mostBytes(field: Buffer | string | null): number {
  return field === null ? 0 : typeof field === 'string' ? 3 * field.length : field.length
}

/** A header that occurs once; several are no header of ours. */
function textOf(header: Headers[string]): string | undefined {
  if (typeof header === 'string') return header
  return Buffer.isBuffer(header) ? header.toString() : undefined
}

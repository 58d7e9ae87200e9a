import { Reservoir } from '../detection/reservoir.ts'
import { seal, unseal } from '../detection/sealed-bytes.ts'
import type { TimeSpan } from '../detection/time-span.ts'

const kind = 'RPLC'
const format = 1

/** A replica's reservoir as others read it: with the names of its columns. */
export interface StoredReservoir {
  readonly columns: readonly string[]
  /** Milliseconds since 1970. */
  readonly savedAt: number
  /** Of the events that it saw. */
  readonly times?: TimeSpan | undefined
  readonly reservoir: Reservoir
}

/** Length of the header, header (JSON), reservoir. */
export function encodeReservoir({ columns, savedAt, times, reservoir }: StoredReservoir): Uint8Array {
  const header = new TextEncoder().encode(
    JSON.stringify({ columns, savedAt, times, sources: textOf(reservoir.sources()) }),
  )
  const from = 4 + Math.ceil(header.length / 4) * 4
  const bytes = reservoir.save()
  const payload = new Uint8Array(from + bytes.length)
  new DataView(payload.buffer).setUint32(0, header.length, true)
  payload.set(header, 4)
  payload.set(bytes, from)
  return seal(kind, format, payload)
}

/** @throws Error that names what is wrong with the bytes */
export function decodeReservoir(bytes: Uint8Array): StoredReservoir {
  const payload = unseal(kind, format, bytes)
  const length = new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getUint32(0, true)
  const { columns, savedAt, times, sources } = JSON.parse(new TextDecoder().decode(payload.subarray(4, 4 + length)))
  return {
    columns,
    savedAt,
    times,
    reservoir: Reservoir.load(payload.subarray(4 + Math.ceil(length / 4) * 4), numbersOf(sources)),
  }
}

/** In the header, where an earlier release that does not know of them reads over them. */
function textOf(sources: Uint32Array): string {
  return Buffer.from(sources.buffer, sources.byteOffset, sources.byteLength).toString('base64')
}

function numbersOf(text: string | undefined): Uint32Array | undefined {
  return text === undefined ? undefined : new Uint32Array(new Uint8Array(Buffer.from(text, 'base64')).buffer)
}

import type { Socket } from 'node:net'
import { messageOf } from '../errors.ts'

/** kafkajs' Connection, as far as it reads replies. */
export interface Connection {
  readonly host: string
  readonly port: number
  readonly broker: string
  chunks: Buffer[]
  bytesBuffered: number
  bytesNeeded: number
  /** The number of the next request. */
  readonly correlationId: number
  readonly requestQueue: {
    readonly inflight: Map<number, { readonly entry: { readonly apiKey: number } }>
    fulfillRequest(reply: { correlationId: number; payload: Buffer; size: number }): void
  }
  readonly authHandlers: { onSuccess(bytes: Buffer): void; onError(): void } | null
  readonly authExpectResponse: boolean
  readonly socket?: Socket
  logError(message: string): void
  isConnected(): boolean
  rejectRequests(error: Error): void
  connect(): Promise<unknown>
  disconnect(): Promise<unknown>
  processData(chunk: Buffer): void
  send(protocol: Protocol): Promise<unknown>
}

interface Protocol {
  readonly response: { decode(payload: Buffer): Promise<unknown>; parse(data: unknown): Promise<unknown> }
}

type ConnectionClosedError = new (message: string, options: { host: string; port: number }) => Error

const fetchKey = 1
/** A reply to a fetch has some MiB, and more only where a single batch has more. */
const maxFetchReplyBytes = 64 * 1024 * 1024
/** Any other: it is enough for the metadata of some 100,000 partitions. */
const maxReplyBytes = 8 * 1024 * 1024

/**
 * Checks each reply's size and number before it is read. A reply that is damaged, cut or longer than any should be closes
 * its connection and fails its requests as a lost connection does, so that they are tried again: the stock client throws
 * out of the socket's handler, which ends the process, or waits for gigabytes.
 */
export function checkFrames(
  connection: Connection,
  ClosedError: ConnectionClosedError,
  BaseError: new () => Error,
): void {
  const { connect, send } = connection

  function damaged(of: Connection, why: string): Error {
    const { host, port } = of
    const error = new ClosedError(`The reply of ${of.broker} is damaged: ${why}. The connection is closed`, {
      host,
      port,
    })
    of.logError(error.message)
    startAnew(of)
    of.socket?.destroy()
    of.authHandlers?.onError()
    of.rejectRequests(error)
    of.disconnect().catch(() => {})
    return error
  }

  connection.connect = function () {
    // What the last connection left in the middle of a reply is not the beginning of this one's.
    if (!this.isConnected()) startAnew(this)
    return connect.call(this)
  }

  connection.processData = function (chunk) {
    if (this.authHandlers !== null && !this.authExpectResponse) return this.authHandlers.onSuccess(chunk)
    this.chunks.push(chunk)
    this.bytesBuffered += chunk.length
    while (this.bytesBuffered >= this.bytesNeeded) {
      const bytes = this.chunks.length > 1 ? Buffer.concat(this.chunks) : this.chunks[0]!
      this.chunks = [bytes]
      const size = bytes.readInt32BE(0)
      const problem = this.authHandlers === null ? problemOfSize(this, size) : problemOfAuthentication(size)
      if (problem !== undefined) return void damaged(this, problem)
      if (bytes.length < 4 + size) {
        this.bytesNeeded = 4 + size
        return
      }
      const rest = bytes.subarray(4 + size)
      this.chunks = [rest]
      this.bytesBuffered = rest.length
      this.bytesNeeded = 4
      if (this.authHandlers !== null) return this.authHandlers.onSuccess(bytes.subarray(0, 4 + size))
      const correlationId = bytes.readInt32BE(4)
      const { inflight } = this.requestQueue
      const isNext = inflight.keys().next().value === correlationId
      // A request that was given up may be answered late; any other is answered in its turn.
      const isLate = !inflight.has(correlationId) && correlationId >= 0 && correlationId < this.correlationId
      if (!isNext && !isLate) return void damaged(this, `it answers request ${correlationId}`)
      if (isNext) this.requestQueue.fulfillRequest({ size, correlationId, payload: bytes.subarray(8, 4 + size) })
    }
  }

  connection.send = function (protocol) {
    const { decode, parse } = protocol.response
    const checked = <T, R>(read: (data: T) => Promise<R>) => {
      return async (data: T): Promise<R> => {
        try {
          return await read(data)
        } catch (error) {
          if (error instanceof BaseError && !error.name.startsWith('KafkaJSInvalid')) throw error
          throw damaged(this, messageOf(error))
        }
      }
    }
    return send.call(this, { ...protocol, response: { decode: checked(decode), parse: checked(parse) } })
  }
}

function startAnew(connection: Connection): void {
  connection.chunks = []
  connection.bytesBuffered = 0
  connection.bytesNeeded = 4
}

function problemOfSize({ requestQueue }: Connection, size: number): string | undefined {
  const next = requestQueue.inflight.values().next().value
  const most = next?.entry.apiKey === fetchKey ? maxFetchReplyBytes : maxReplyBytes
  return size >= 4 && size <= most ? undefined : `it announces ${size} bytes, which are not from 4 to ${most}`
}

function problemOfAuthentication(size: number): string | undefined {
  return size >= 0 && size <= maxReplyBytes ? undefined : `it announces ${size} bytes`
}

import { constants, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import type { Server } from '@grpc/grpc-js'
import type { ByteBudget } from '../../lib/byte-budget.ts'

export interface MessageBounds {
  /** Of the bytes of all calls whose messages are being read or wait for their answer. */
  readonly budget: ByteBudget
  readonly maxConnections: number
  /** Of one message of a method, by its path. */
  readonly maxBytesOf: (path: string) => number
  /** Whether a call of the method has many messages, of which those that are whole are bounded elsewhere. */
  readonly isStream: (path: string) => boolean
}

/** What a chunk costs beside its bytes: messages may come a byte at a time. */
const chunkBytes = 512

/** What is used of what grpc-js keeps to itself: it shows no call before a message of it is whole. */
interface Internals {
  createHttp2Server(credentials: unknown): Http2Server
}

/**
 * Bounds what callers can make a server hold: grpc-js bounds each message, but not how many of them are begun and never
 * finished. A call that has more than its part is closed, and its caller gets RESOURCE_EXHAUSTED.
 */
export function boundMessages(server: Server, bounds: MessageBounds): Server {
  const internals = server as unknown as Internals
  const createHttp2Server = internals.createHttp2Server.bind(server)
  internals.createHttp2Server = (credentials) => {
    const http2Server = createHttp2Server(credentials)
    http2Server.maxConnections = bounds.maxConnections
    http2Server.on('stream', (stream, headers) => watch(stream, String(headers[':path']), bounds))
    return http2Server
  }
  return server
}

function watch(stream: ServerHttp2Stream, path: string, { budget, maxBytesOf, isStream }: MessageBounds): void {
  const close = (): void => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)
  const maxBytes = maxBytesOf(path)
  const frames = new MessageMeter()
  let share = budget.open(close)
  stream.on('data', (chunk: Buffer) => {
    frames.read(chunk)
    if (frames.announced > maxBytes) return close()
    if (isStream(path) && frames.isBetween) {
      share.free()
      share = budget.open(close)
    } else share.take(chunk.length + chunkBytes)
  })
  // grpc-js ends a stream where a message cannot be read, and may write answers of earlier ones then: nothing would close it.
  stream.on('error', () => stream.close(constants.NGHTTP2_INTERNAL_ERROR))
  stream.on('close', () => share.free())
}

const headLength = 5

/** Follows the messages of a call: a byte for compression, four for the length, then so many bytes. */
export class MessageMeter {
  readonly #head = Buffer.alloc(headLength)
  #read = 0
  #left = 0
  #announced = 0

  /** Length of the message that is being read, or was read last. */
  get announced(): number {
    return this.#announced
  }

  /** Whether no message is begun and not finished. */
  get isBetween(): boolean {
    return this.#read === 0 && this.#left === 0
  }

  read(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at)
        this.#left -= taken
        at += taken
        continue
      }
      const taken = chunk.copy(this.#head, this.#read, at, at + headLength - this.#read)
      this.#read += taken
      at += taken
      if (this.#read < headLength) return
      this.#read = 0
      this.#announced = this.#head.readUInt32BE(1)
      this.#left = this.#announced
    }
  }
}

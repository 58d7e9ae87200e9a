import type { IncomingMessage, ServerResponse } from 'node:http'
import { AppError } from '../../lib/errors.ts'
import { type LiveEvent, type LiveEvents, liveEventTypes } from './live-events.ts'

export interface StreamLimits {
  /** Streams at once. */
  readonly streams: number
  /** Of what a client has not taken yet; then it is dropped. */
  readonly waitingBytes: number
  /** Between signs of life, for whatever closes connections that are silent. */
  readonly heartbeatMs: number
}

export const streamLimits: StreamLimits = { streams: 64, waitingBytes: 2 ** 20, heartbeatMs: 15_000 }

/** How long a client that is dropped may take for what it was sent. */
const farewellMs = 10_000

export type StreamEvents = (
  request: IncomingMessage,
  response: ServerResponse,
  options: { readonly only: readonly string[] },
) => Promise<void>

/**
 * Answers with what happens from now on as server-sent events: `event` is the type, `data` the JSON. The last event of a
 * stream that the server ends is `end`, with the reason. @throws AppError
 */
export function createEventStream(live: LiveEvents, limits: StreamLimits = streamLimits): StreamEvents {
  const { streams, waitingBytes, heartbeatMs } = limits
  let open = 0

  async function stream(request: IncomingMessage, response: ServerResponse, wanted: ReadonlySet<string>) {
    const closed = new Promise<void>((resolve) => response.once('close', resolve))
    const finish = (reason: string, message: string) => {
      leave?.()
      leave = undefined
      if (response.writableEnded) return
      response.end(frameOf('end', JSON.stringify({ reason, message })))
      setTimeout(() => response.destroy(), farewellMs).unref()
    }
    const onEvents = (events: readonly LiveEvent[]) => {
      if (!response.headersSent || response.writableEnded) return
      const text = events.flatMap(({ type, json }) => (wanted.has(type) ? [frameOf(type, json)] : [])).join('')
      if (text === '') return
      response.write(text)
      if (response.writableLength > waitingBytes)
        finish('TooSlow', `more than ${waitingBytes} bytes waited for the client to take them`)
    }
    let leave: (() => void) | undefined = await live.listen({
      onEvents,
      onEnd: ({ code, message }) => finish(code, message),
    })
    const heartbeat = setInterval(() => response.write(':\n\n'), heartbeatMs)
    try {
      if (!response.destroyed) {
        response.writeHead(200, head)
        if (request.method === 'HEAD') response.end()
        else response.write(`retry: 2000\n\n`)
        await closed
      }
    } finally {
      clearInterval(heartbeat)
      leave?.()
    }
  }

  return async (request, response, { only }) => {
    const wanted = new Set(only.length === 0 ? liveEventTypes : only)
    for (const type of wanted)
      if (!liveEventTypes.includes(type as LiveEvent['type']))
        throw new AppError('InvalidArgument', `only: ${JSON.stringify(type)} is none of ${liveEventTypes.join(', ')}`)
    if (open >= streams) throw new AppError('Unavailable', `${streams} streams are open already; try again later`)
    open++
    try {
      await stream(request, response, wanted)
    } finally {
      open--
    }
  }
}

const head = { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' }

function frameOf(type: string, json: string): string {
  return `event: ${type}\ndata: ${json}\n\n`
}

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type BreakableProxy, startBreakableProxy } from './breakable-proxy.ts'

/** Keys of the Kafka requests that tests tell apart. */
export const kafkaApi = {
  Produce: 0,
  Fetch: 1,
  ListOffsets: 2,
  Metadata: 3,
  OffsetFetch: 9,
  FindCoordinator: 10,
  JoinGroup: 11,
  Heartbeat: 12,
  SyncGroup: 14,
  ApiVersions: 18,
  InitProducerId: 22,
  AddPartitionsToTxn: 24,
  AddOffsetsToTxn: 25,
  EndTxn: 26,
  TxnOffsetCommit: 28,
} as const

export interface KafkaRequest {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
}

/** A TCP proxy before a Kafka broker that can lose replies: the request arrives, its answer never does. */
export interface KafkaProxy extends BreakableProxy {
  /** How many requests passed, by API key. */
  readonly requests: ReadonlyMap<number, number>
  /** Forwards the `nth` matching request from now, then cuts its connection instead of giving the reply. Resolves when cut. */
  cutReply(apiKey: number, nth?: number): Promise<KafkaRequest>
  /** Gives something else instead of the reply to the next matching request; ends the connection after less. */
  damageReply(apiKey: number, damage: (reply: Buffer) => Buffer): void
  /** Resolves when the next matching request has gone to the broker. */
  passed(apiKey: number): Promise<KafkaRequest>
  /** Keeps a copy of the next matching request, which passes; `deliver` sends it again, as if the network had held it back. */
  copy(apiKey: number): Promise<{ deliver(): Promise<void> }>
}

interface Watch {
  readonly apiKey: number
  readonly cuts: boolean
  readonly damage?: (reply: Buffer) => Buffer
  left: number
  readonly done: (request: KafkaRequest, message: Buffer) => void
}

/** Calls `frame` with each complete message (4 bytes of length, then the body) of a stream. */
function framed(frame: (message: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (rest.length >= 4) {
      const end = 4 + rest.readInt32BE(0)
      if (rest.length < end) return
      frame(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
  }
}

export async function startProxy(targetPort: number, options: { readonly port?: number } = {}): Promise<KafkaProxy> {
  const requests = new Map<number, number>()
  const watches = new Set<Watch>()

  function pass(client: Socket, broker: Socket, cut: () => void): void {
    const cutting = new Map<number, { watch: Watch; request: KafkaRequest }>()
    client.on(
      'data',
      framed((message) => {
        const request = {
          apiKey: message.readInt16BE(4),
          apiVersion: message.readInt16BE(6),
          correlationId: message.readInt32BE(8),
        }
        requests.set(request.apiKey, (requests.get(request.apiKey) ?? 0) + 1)
        broker.write(message)
        for (const watch of watches) {
          if (watch.apiKey !== request.apiKey || --watch.left > 0) continue
          watches.delete(watch)
          if (watch.cuts || watch.damage) cutting.set(request.correlationId, { watch, request })
          else watch.done(request, message)
        }
      }),
    )
    broker.on(
      'data',
      framed((message) => {
        const lost = cutting.get(message.readInt32BE(4))
        if (lost === undefined) return void client.write(message)
        cutting.delete(lost.request.correlationId)
        if (lost.watch.damage !== undefined) {
          const reply = lost.watch.damage(message)
          client.write(reply)
          if (reply.length < message.length) client.end()
          return
        }
        cut()
        lost.watch.done(lost.request, message)
      }),
    )
  }

  const proxy = await startBreakableProxy(targetPort, { port: options.port, pass })
  return {
    ...proxy,
    requests,
    cutReply: (apiKey, nth = 1) => new Promise((done) => void watches.add({ apiKey, cuts: true, left: nth, done })),
    damageReply: (apiKey, damage) => void watches.add({ apiKey, cuts: false, damage, left: 1, done: () => {} }),
    copy: (apiKey) =>
      new Promise((resolve) => {
        const done = (_: KafkaRequest, message: Buffer): void => {
          const bytes = Buffer.from(message)
          resolve({
            deliver: async () => {
              const broker = connect(targetPort, '127.0.0.1')
              broker.write(bytes)
              await once(broker, 'data')
              broker.destroy()
            },
          })
        }
        watches.add({ apiKey, cuts: false, left: 1, done })
      }),
    passed: (apiKey) => new Promise((done) => void watches.add({ apiKey, cuts: false, left: 1, done })),
  }
}

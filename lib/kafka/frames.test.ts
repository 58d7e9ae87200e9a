import { once } from 'node:events'
import { createRequire } from 'node:module'
import { createServer, type Server, type Socket } from 'node:net'
import { expect } from 'chai'
import { openAdmin } from './admin.ts'
import { loadKafkajs } from './kafkajs.ts'
import { connectProducer } from './producer.ts'

loadKafkajs()
const require = createRequire(import.meta.url)
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** An answer to one request, as bytes. */
type Answer = (request: { readonly apiKey: number; readonly correlationId: number }, socket: Socket) => void

/** A server that answers each request as it is told, the last answer over and over. */
async function lyingBroker(...answers: readonly Answer[]) {
  const sockets = new Set<Socket>()
  let next = 0
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (bytes) => {
      const request = { apiKey: bytes.readInt16BE(4), correlationId: bytes.readInt32BE(8) }
      answers[Math.min(next++, answers.length - 1)]!(request, socket)
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { port: number }
  return {
    settings: { brokers: [`127.0.0.1:${port}`], clientId: 'test', log },
    asked: () => next,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

const int32 = (...values: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [i, value] of values.entries()) bytes.writeInt32BE(value, 4 * i)
  return bytes
}
const framed = (correlationId: number, body: Buffer): Buffer =>
  Buffer.concat([int32(body.length + 4, correlationId), body])

const text = (value: string): Buffer => {
  const size = Buffer.alloc(2)
  size.writeInt16BE(value.length)
  return Buffer.concat([size, Buffer.from(value)])
}

/** As a broker without topics answers a producer that connects. */
const sound: Answer = ({ apiKey, correlationId }, socket) => {
  const { localAddress = '', localPort = 0 } = socket
  const keys = [0, 1, 2, 3, 18, 19, 22]
  const bodies: Readonly<Record<number, Buffer>> = {
    18: Buffer.concat([
      Buffer.alloc(2),
      Buffer.from([keys.length + 1, ...keys.flatMap((key) => [0, key, 0, 0, 0, 1, 0])]),
      int32(0),
      Buffer.alloc(1),
    ]),
    3: Buffer.concat([int32(1, 1), text(localAddress), int32(localPort), Buffer.from([255, 255]), int32(1, 0)]),
    22: Buffer.alloc(16),
  }
  socket.write(framed(correlationId, bodies[apiKey]!))
}

describe('replies of a broker', () => {
  const unhandled: unknown[] = []
  const note = (error: unknown): void => void unhandled.push(error)
  before(() => {
    process.on('uncaughtExceptionMonitor', note)
  })
  after(() => {
    process.off('uncaughtExceptionMonitor', note)
  })

  const wrong: Readonly<Record<string, Answer>> = {
    'is cut in its size': (_, socket) => void socket.end(Buffer.from([0, 0])),
    'is cut in its body': ({ correlationId }, socket) =>
      void socket.end(framed(correlationId, Buffer.alloc(40)).subarray(0, 20)),
    'announces a negative size': (_, socket) => void socket.write(int32(-1, 0, 0)),
    'announces a size below its own number': (_, socket) => void socket.write(int32(2, 0, 0)),
    'announces gigabytes': (_, socket) => void socket.write(int32(2 ** 31 - 1, 0, 0)),
    'answers another request': ({ correlationId }, socket) =>
      void socket.write(framed(correlationId + 7, Buffer.alloc(10))),
    'announces more elements than it has bytes': ({ correlationId }, socket) =>
      void socket.write(
        framed(correlationId, Buffer.concat([Buffer.from([0, 0, 255, 255, 255, 255, 7]), Buffer.alloc(60)])),
      ),
    'ends within an element': ({ correlationId }, socket) =>
      void socket.write(framed(correlationId, Buffer.from([0, 0, 3, ...Buffer.alloc(9)]))),
  }
  for (const [what, answer] of Object.entries(wrong)) {
    it(`closes the connection and asks again where one ${what}`, async () => {
      const broker = await lyingBroker(answer, sound)
      const producer = await connectProducer(broker.settings)
      expect(broker.asked()).to.be.greaterThan(1)
      await producer.close()
      await broker.close()
      expect(unhandled).to.deep.equal([])
    })

    it(`says so in the end where every one ${what}`, async () => {
      const broker = await lyingBroker(answer)
      const admin = openAdmin(broker.settings, { timeoutMs: 300 })
      const error = await admin.topicOffsets('t').catch((thrown) => thrown)
      expect(error.code).to.match(/^(Unavailable|DeadlineExceeded)$/)
      admin.close()
      await broker.close()
      expect(unhandled).to.deep.equal([])
    })
  }

  it('takes no more of a reply than it may have', async () => {
    let taken = 0
    const flood: Answer = ({ correlationId }, socket) => {
      socket.write(int32(8 * 1024 * 1024 + 1, correlationId))
      const pour = (): void => {
        while (!socket.destroyed && socket.write(Buffer.alloc(65_536))) taken += 65_536
      }
      socket.on('drain', pour)
      pour()
    }
    const broker = await lyingBroker(flood)
    const error = await connectProducer(broker.settings).catch((thrown) => thrown)
    expect(String(error)).to.match(/announces 8388609 bytes/)
    expect(taken).to.be.lessThan(64 * 1024 * 1024)
    await broker.close()
  })

  it('connects to an IPv6 address', async function () {
    const server = createServer((socket) => {
      socket.on('data', (bytes) => {
        sound({ apiKey: bytes.readInt16BE(4), correlationId: bytes.readInt32BE(8) }, socket)
      })
    })
    server.on('error', () => this.skip())
    await once(server.listen(0, '::1'), 'listening')
    const { port } = server.address() as { port: number }
    const producer = await connectProducer({ brokers: [`[::1]:${port}`], clientId: 'test', log })
    await producer.close()
    server.close()
  })

  /** Every kind that is used here: what a producer, a member of a group, and a look at topics and groups ask for. */
  const kinds = [
    ...[
      'ApiVersions',
      'SaslHandshake',
      'SaslAuthenticate',
      'Metadata',
      'GroupCoordinator',
      'Produce',
      'Fetch',
      'ListOffsets',
    ],
    ...[
      'InitProducerId',
      'AddPartitionsToTxn',
      'AddOffsetsToTxn',
      'TxnOffsetCommit',
      'EndTxn',
      'OffsetFetch',
      'OffsetCommit',
    ],
    ...['JoinGroup', 'SyncGroup', 'Heartbeat', 'LeaveGroup', 'CreateTopics', 'DescribeConfigs'],
  ]
  type Kind = {
    readonly versions: readonly string[]
    protocol(of: object): (request: object) => { readonly response: Response }
  }
  interface Response {
    decode(bytes: Buffer): Promise<unknown>
  }
  const { requests } = require('kafkajs/src/protocol/requests') as { readonly requests: Readonly<Record<string, Kind>> }

  it('reads or refuses any bytes soon, for every kind of request', async () => {
    const values = [0, 1, 2, 3, 255, 256, 65_535, -1, -2, -3, 2 ** 31 - 1, -(2 ** 31)]
    let state = 1
    const below = (n: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
      return Math.floor((state / 2 ** 32) * n)
    }
    for (const kind of kinds) {
      for (const version of requests[kind]!.versions) {
        const { response } = requests[kind]!.protocol({ version })({
          topics: [],
          topicData: [],
          groupProtocols: [],
          resources: [],
          groupAssignment: [],
          offsets: [],
        })
        for (let run = 0; run < 60; run++) {
          const bytes = Buffer.alloc(below(200))
          for (let at = 0; at + 4 <= bytes.length; at += 2)
            if (below(2) === 0) bytes.writeInt32BE(values[below(values.length)]!, at)
          const outcome = await response.decode(bytes).catch((error: unknown) => error)
          expect(outcome, `${kind} ${version}: ${bytes.toString('hex')}`).to.be.instanceOf(Object)
        }
      }
    }
  }).timeout(60_000)
})

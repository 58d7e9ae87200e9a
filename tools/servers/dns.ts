import { createSocket } from 'node:dgram'
import { once } from 'node:events'

/** A name server whose one answer can change, as that of a headless Service does. */
export interface NameServer {
  readonly port: number
  /** IPv4 addresses that every name has from now on. */
  answer(addresses: readonly string[]): void
  stop(): Promise<void>
}

const typeA = 1

export async function startNameServer(): Promise<NameServer> {
  let current: readonly string[] = []
  const socket = createSocket('udp4')
  socket.on('message', (query, from) => {
    // RFC 1035, 4.1: a header of 12 bytes, the name in labels up to an empty one, type and class.
    let end = 12
    while (query[end] !== 0) end += 1 + query[end]!
    const question = query.subarray(12, end + 5)
    const addresses = query.readUInt16BE(end + 1) === typeA ? current : []
    const header = Buffer.from(query.subarray(0, 12))
    header.writeUInt16BE(0x8180, 2)
    for (const [at, count] of [1, addresses.length, 0, 0].entries()) header.writeUInt16BE(count, 4 + 2 * at)
    const answers = addresses.map((address) =>
      Buffer.from([0xc0, 12, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split('.').map(Number)]),
    )
    socket.send(Buffer.concat([header, question, ...answers]), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return {
    port: socket.address().port,
    answer: (addresses) => {
      current = addresses
    },
    stop: () => new Promise((resolve) => socket.close(() => resolve())),
  }
}

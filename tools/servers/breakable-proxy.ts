import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export interface BreakableProxyOptions {
  readonly port?: number | undefined
  /** Lets bytes through, both ways; `cut` ends the connection. As they come if absent. */
  readonly pass?: ((client: Socket, target: Socket, cut: () => void) => void) | undefined
}

/** A TCP proxy whose connections can be cut, whatever protocol they speak. */
export interface BreakableProxy {
  readonly port: number
  /** Cuts every connection and refuses new ones until `accept`. */
  drop(): void
  accept(): void
  /** Connections stay open, nothing passes until `flow`. */
  stall(): void
  flow(): void
  close(): Promise<void>
}

export async function startBreakableProxy(
  targetPort: number,
  { port = 0, pass = pipe }: BreakableProxyOptions = {},
): Promise<BreakableProxy> {
  const sockets = new Set<Socket>()
  let isRefusing = false
  let isStalled = false
  const server = createServer((client) => {
    if (isRefusing) return void client.destroy()
    const target = connect(targetPort, '127.0.0.1')
    const end = (): void => {
      for (const socket of [client, target]) {
        sockets.delete(socket)
        socket.destroy()
      }
    }
    for (const socket of [client, target]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', end).on('close', end)
    }
    pass(client, target, end)
    if (isStalled) for (const socket of [client, target]) socket.pause()
  })
  await once(server.listen(port, '127.0.0.1'), 'listening')
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as { port: number }).port,
    drop() {
      isRefusing = true
      cut()
    },
    accept() {
      isRefusing = false
    },
    stall() {
      isStalled = true
      for (const socket of sockets) socket.pause()
    },
    flow() {
      isStalled = false
      for (const socket of sockets) socket.resume()
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      cut()
      await closed
    },
  }
}

function pipe(client: Socket, target: Socket): void {
  client.pipe(target).pipe(client)
}

import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { AppError, messageOf } from './errors.ts'
import type { Part } from './lifecycle.ts'

export interface HttpPart extends Part {
  /** Once started; tells which port was free where port 0 was asked for. */
  readonly port: number
}

export interface HttpPartOptions {
  readonly name: string
  readonly port: number
  /** By which the port is chosen on the command line. */
  readonly flag?: string | undefined
  /** By default every address of the machine, IPv6 and IPv4. */
  readonly host?: string | undefined
  /** How long requests in flight may take once the server stops; then their connections are cut. */
  readonly graceMs?: number | undefined
}

/**
 * A node:http server as a part of a process. Node's own `close` waits for keep-alive connections that are busy at that
 * moment until they time out, and for connections that never sent a request; here the former end with their response
 * and the latter at once.
 */
export function httpPart(server: Server, options: HttpPartOptions): HttpPart {
  const { name, port, flag, host, graceMs = 10_000 } = options
  const unused = new Set<Socket>()
  server.on('connection', (socket) => {
    unused.add(socket)
    socket.once('close', () => unused.delete(socket))
  })
  server.prependListener('request', (request, response) => {
    unused.delete(request.socket)
    if (!server.listening) response.setHeader('Connection', 'close')
  })

  return {
    name,
    get port() {
      return (server.address() as AddressInfo | null)?.port ?? 0
    },
    async start() {
      server.listen(port, host)
      try {
        await once(server, 'listening')
      } catch (error) {
        const inUse = `it is in use${flag === undefined ? '' : `; choose another with --${flag}`}`
        const reason = (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? inUse : messageOf(error)
        throw new AppError('Unavailable', `Cannot listen on port ${port} (${name}): ${reason}`, { cause: error })
      }
    },
    async stop() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of unused) socket.destroy()
      const sweep = setInterval(() => server.closeIdleConnections(), 20)
      const cut = setTimeout(() => server.closeAllConnections(), graceMs)
      await closed
      clearInterval(sweep)
      clearTimeout(cut)
    },
  }
}

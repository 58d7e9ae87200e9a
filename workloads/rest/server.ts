import { createServer, type RequestListener } from 'node:http'
import { type HttpPart, httpPart } from '../../lib/http-part.ts'

export interface ApiServerOptions {
  readonly port?: number | undefined
  readonly host?: string | undefined
  /** For sending the head of a request; a caller that takes longer gets 408. */
  readonly headersTimeoutMs?: number | undefined
  /** For sending all of a request. */
  readonly requestTimeoutMs?: number | undefined
}

/** More are closed as they come: each may hold a head and a part of a body. */
const maxConnections = 2000

/** Serves the app on a port. Slow senders are cut off, so that they cannot hold the connections of others. */
export function createApiServer(app: RequestListener, options: ApiServerOptions = {}): HttpPart {
  const { port = 8080, host, headersTimeoutMs = 10_000, requestTimeoutMs = 30_000 } = options
  const server = createServer(
    {
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.min(1000, headersTimeoutMs),
      // Longer than the 60 s after which the usual load balancers close: they, not we, end an idle connection.
      keepAliveTimeout: 65_000,
    },
    app,
  )
  server.maxConnections = maxConnections
  return httpPart(server, { name: 'api', port, flag: 'port', host })
}

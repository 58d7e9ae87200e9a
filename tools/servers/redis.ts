import { join } from 'node:path'
import { type ClientTls, makeCertificates } from './certificates.ts'
import { ask, freePorts, removeFolder, requireCommands, startServer, temporaryFolder } from './server.ts'

export interface Redis {
  readonly port: number
  readonly url: string
  /** With `tls`: the port that takes only TLS, and what a client needs for it. */
  readonly tls?: { readonly port: number; readonly url: string; readonly client: ClientTls }
  /** Ends the server and drops its data. */
  stop(): Promise<void>
  /** As `kill -9`. */
  kill(): Promise<void>
  /** Starts again on the same ports, empty, after `downMs`. */
  restart(options?: { readonly downMs?: number }): Promise<void>
  pause(): void
  resume(): void
}

/** A real Redis on a free port of the loopback interface, without persistence; `args` go to its command line. */
export async function startRedis(
  options: {
    readonly args?: readonly string[]
    readonly tls?: boolean
    readonly signal?: AbortSignal | undefined
  } = {},
): Promise<Redis> {
  await requireCommands({ 'redis-server': 'redis-server', ...(options.tls ? { openssl: 'openssl' } : {}) })
  const folder = temporaryFolder('redis')
  const [port, tlsPort] = (await freePorts(2)) as [number, number]
  const certificates = options.tls ? makeCertificates(folder) : undefined
  const args = [
    ...['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'],
    ...(certificates
      ? [
          ...['--tls-port', String(tlsPort), '--tls-ca-cert-file', certificates.caFile],
          ...['--tls-cert-file', certificates.serverCertFile, '--tls-key-file', certificates.serverKeyFile],
        ]
      : []),
    ...(options.args ?? []),
  ]
  const start = () =>
    startServer('redis-server', args, {
      log: join(folder, 'redis.log'),
      // with a password the answer is NOAUTH: the server is up all the same
      ready: async () =>
        /^(\+PONG|-NOAUTH)/.test(String(await ask(port, Buffer.from('PING\r\n'), (a) => a.includes(10)))),
      signal: options.signal,
    })
  let server = await start()
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    ...(certificates
      ? { tls: { port: tlsPort, url: `rediss://127.0.0.1:${tlsPort}`, client: certificates.client } }
      : {}),
    stop: async () => {
      await server.kill()
      removeFolder(folder)
    },
    kill: () => server.kill(),
    restart: async ({ downMs = 0 } = {}) => {
      await server.kill()
      if (downMs > 0) await new Promise((done) => setTimeout(done, downMs))
      server = await start()
    },
    pause: () => server.pause(),
    resume: () => server.resume(),
  }
}

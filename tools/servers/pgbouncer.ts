import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { freePorts, removeFolder, requireCommands, startServer, temporaryFolder } from './server.ts'

export interface PgBouncer {
  /** The same database as that of the server behind it. */
  readonly url: string
  stop(): Promise<void>
}

/** A real PgBouncer before the server of `url`, with at most two sessions there. */
export async function startPgBouncer(url: string, mode: 'session' | 'transaction' | 'statement'): Promise<PgBouncer> {
  await requireCommands({ pgbouncer: 'pgbouncer' })
  const { hostname, port, username, password, pathname } = new URL(url)
  const secret = decodeURIComponent(password)
  const [own] = (await freePorts(1)) as [number]
  const pooled = new URL(url)
  pooled.port = String(own)
  const folder = temporaryFolder('pgbouncer')
  const [users, config] = ['users.txt', 'pgbouncer.ini'].map((name) => join(folder, name)) as [string, string]
  writeFileSync(users, `"${username}" "${secret}"\n`)
  const settings = {
    listen_addr: '127.0.0.1',
    listen_port: own,
    unix_socket_dir: '',
    auth_type: 'scram-sha-256',
    auth_file: users,
    pool_mode: mode,
    default_pool_size: 2,
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`)
  writeFileSync(config, `[databases]\n* = host=${hostname} port=${port}\n[pgbouncer]\n${lines.join('')}`)
  // It refuses to run as root.
  const isRoot = process.getuid?.() === 0
  if (isRoot) chmodSync(folder, 0o755)
  const server = await startServer('pgbouncer', [...(isRoot ? ['--user', 'nobody'] : []), config], {
    log: join(folder, 'log'),
    ready: async () => {
      const client = new pg.Client({
        host: '127.0.0.1',
        port: own,
        user: username,
        password: secret,
        database: pathname.slice(1),
      })
      try {
        await client.connect()
        return (await client.query('SELECT 1')).rowCount === 1
      } finally {
        await client.end()
      }
    },
  })
  return {
    url: pooled.href,
    stop: async () => {
      await server.kill()
      removeFolder(folder)
    },
  }
}

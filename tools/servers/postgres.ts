import { execFile, execFileSync } from 'node:child_process'
import { appendFileSync, chmodSync, chownSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { type ClientTls, makeCertificates } from './certificates.ts'
import {
  freePorts,
  isOnPath,
  removeFolder,
  requireCommands,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from './server.ts'
import type { SetUpStep } from './set-up.ts'

const run = promisify(execFile)

export interface Postgres {
  readonly port: number
  /** Of an empty database of its own, as its owner, who is no superuser. */
  readonly url: string
  /** With `tls`: what a client needs for it; the server takes connections without it too. */
  readonly client?: ClientTls
  /** The rows that a statement gives, as superuser; in the database of `url` unless another one is named. */
  sql(text: string, options?: { readonly database?: string }): Promise<Record<string, unknown>[]>
  /** Breaks off connections and ends, keeping the data. */
  halt(): Promise<void>
  /** As a power cut: its processes end without a word, and the next start recovers. */
  crash(): Promise<void>
  /** Starts again on the same port. */
  start(): Promise<void>
  /** Ends the server and drops its data. */
  stop(): Promise<void>
}

/** Where Debian and Ubuntu have it, the newest that is there; others have it on the path. */
const versions = '/usr/lib/postgresql'
function binary(name: string): string {
  const found = existsSync(versions) ? readdirSync(versions).sort((a, b) => Number(b) - Number(a)) : []
  return found.map((version) => join(versions, version, 'bin', name)).find((path) => existsSync(path)) ?? name
}

export const postgresStep: SetUpStep = {
  name: 'PostgreSQL',
  isDone: async () => isOnPath(binary('postgres')),
  make: requirePostgres,
}

async function requirePostgres(): Promise<void> {
  if (!isOnPath(binary('postgres'))) await requireCommands({ postgres: 'postgresql' })
}

const superuser = { user: 'postgres', password: 'secret' }

/**
 * A real PostgreSQL on a free port of the loopback interface; `settings` go to its command line. It refuses to run as
 * root: then it runs as the user that its package has made.
 */
export async function startPostgres(
  options: {
    readonly settings?: Readonly<Record<string, string>>
    readonly tls?: boolean
    /** The node of a cluster: the server listens there, for pods and for this machine, and not on loopback. */
    readonly node?: { readonly networkNamespace: string; readonly nodeIp: string } | undefined
    readonly signal?: AbortSignal | undefined
  } = {},
): Promise<Postgres> {
  await requirePostgres()
  const folder = temporaryFolder('postgres')
  const data = join(folder, 'data')
  mkdirSync(data, { mode: 0o700 })
  writeFileSync(join(folder, 'password'), superuser.password)
  const isRoot = process.getuid?.() === 0
  const own = (path: string): void => {
    if (isRoot) chownSync(path, userId('-u'), userId('-g'))
  }
  const command = (name: string, args: readonly string[]): [string, string[]] => {
    const path = binary(name)
    return isRoot
      ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--init-groups', path, ...args]]
      : [path, [...args]]
  }
  chmodSync(folder, 0o755)
  for (const path of [data, join(folder, 'password')]) own(path)
  const initial = [
    '-D',
    data,
    '-U',
    superuser.user,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  ]
  await run(...command('initdb', [...initial, '--pwfile', join(folder, 'password')]), { cwd: folder })

  const certificates = options.tls ? makeCertificates(folder) : undefined
  if (certificates !== undefined)
    for (const file of [certificates.serverKeyFile, certificates.serverCertFile]) own(file)
  if (certificates !== undefined) chmodSync(certificates.serverKeyFile, 0o600)
  const { node } = options
  const host = node?.nodeIp ?? '127.0.0.1'
  if (node !== undefined) appendFileSync(join(data, 'pg_hba.conf'), 'host all all all scram-sha-256\n')
  const port = node === undefined ? (await freePorts(1))[0]! : 5432
  const settings = {
    listen_addresses: host,
    unix_socket_directories: '',
    ...(certificates === undefined
      ? {}
      : { ssl: 'on', ssl_cert_file: certificates.serverCertFile, ssl_key_file: certificates.serverKeyFile }),
    ...options.settings,
  }
  const args = [
    '-D',
    data,
    '-p',
    String(port),
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]

  const sql: Postgres['sql'] = async (text, { database = 'anomaly' } = {}) => {
    const client = new pg.Client({ host, port, ...superuser, database })
    await client.connect()
    try {
      return (await client.query(text)).rows ?? []
    } finally {
      await client.end()
    }
  }
  const begin = (): Promise<ServerProcess> =>
    startServer(...inNamespaceOf(node, command('postgres', args)), {
      log: join(folder, 'log'),
      ready: async () => (await sql('SELECT 1', { database: 'postgres' })).length === 1,
      signal: options.signal,
    })
  let server = await begin()
  await sql("CREATE ROLE anomaly LOGIN PASSWORD 'se/cret'", { database: 'postgres' })
  await sql('CREATE DATABASE anomaly OWNER anomaly', { database: 'postgres' })
  const end = async (signal: 'SIGINT' | 'SIGQUIT'): Promise<void> => {
    process.kill(server.pid, signal)
    await server.stop()
  }
  return {
    port,
    url: `postgresql://anomaly:se%2Fcret@${host}:${port}/anomaly`,
    ...(certificates === undefined ? {} : { client: certificates.client }),
    sql,
    halt: () => end('SIGINT'),
    crash: () => end('SIGQUIT'),
    start: async () => {
      server = await begin()
    },
    stop: async () => {
      await end('SIGQUIT').catch(() => {})
      removeFolder(folder)
    },
  }
}

function inNamespaceOf(
  node: { readonly networkNamespace: string } | undefined,
  [command, args]: [string, string[]],
): [string, string[]] {
  return node === undefined ? [command, args] : ['nsenter', [`--net=${node.networkNamespace}`, command, ...args]]
}

function userId(flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
}

import pg from 'pg'
import { AppError, messageOf } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { within } from '../../lib/time.ts'
import type { PostgresAddress } from './postgres-address.ts'

export type PostgresClient = pg.PoolClient

export interface PostgresProblem {
  /** One line. */
  readonly message: string
  /** Milliseconds since 1970. */
  readonly since: number
}

export interface PostgresOptions {
  readonly address: PostgresAddress
  /** What the database's list of its sessions calls this one. */
  readonly name: string
  readonly connections: number
  readonly log: Logger
}

/** How long a transaction waits, in ms; 0 is for ever. */
export interface Patience {
  /** For one statement, and for the answer to it. */
  readonly statementMs: number
  /** For a lock that others hold. */
  readonly lockMs: number
}

/** Of rows. */
export const writing: Patience = { statementMs: 25_000, lockMs: 10_000 }

const connectMs = 5000
/** Longer than the server's own limit, which says why. */
const graceMs = 2000

/** Connects when something is asked, and again after a failure. */
export class PostgresConnection {
  readonly #pool: pg.Pool
  readonly #address: PostgresAddress
  readonly #log: Logger
  #problem: PostgresProblem | undefined

  constructor({ address, name, connections, log }: PostgresOptions) {
    const { host, port, user, password, database, tls } = address
    this.#address = address
    this.#log = log
    this.#pool = new pg.Pool({
      ...{ host, port, user, password, database },
      ssl: tls === undefined ? false : { ...definedOf(tls), rejectUnauthorized: true },
      application_name: name,
      max: connections,
      idleTimeoutMillis: 60_000,
      keepAlive: true,
      Client: TimelyClient,
    })
    // The next one who asks is told.
    this.#pool.on('error', () => {})
  }

  /** Why nothing can be asked, since the last success; undefined where all is well. */
  get problem(): PostgresProblem | undefined {
    return this.#problem
  }

  /**
   * A client with an open transaction: the caller ends it with `commit` or `abandon`.
   * @throws AppError Unavailable
   */
  async begin({ statementMs, lockMs }: Patience, mode = ''): Promise<OpenTransaction> {
    const client = await this.#said('connect', this.#pool.connect())
    const open = new OpenTransaction(client, statementMs, (what, work) => this.#said(what, work))
    // One message: a pooler between may give each transaction another session.
    await open.run(
      'begin a transaction',
      client.query(
        `BEGIN ${mode}; SET LOCAL statement_timeout = ${statementMs}; SET LOCAL lock_timeout = ${lockMs}; SET LOCAL idle_in_transaction_session_timeout = 60000`,
      ),
    )
    return open
  }

  /** What the work gives, which is done as a whole or not at all. @throws AppError Unavailable */
  async transaction<T>(
    patience: Patience,
    work: (transaction: OpenTransaction) => Promise<T>,
    mode?: 'READ ONLY',
  ): Promise<T> {
    const transaction = await this.begin(patience, mode)
    try {
      const given = await work(transaction)
      await transaction.commit()
      return given
    } catch (error) {
      transaction.abandon()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }

  async #said<T>(what: string, work: Promise<T>): Promise<T> {
    try {
      const given = await work
      if (this.#problem !== undefined) this.#log.info({ database: this.#address.place }, 'PostgreSQL answers again')
      this.#problem = undefined
      return given
    } catch (cause) {
      if (isOfRow(cause)) throw cause
      const message = `Cannot ${what}: PostgreSQL, ${this.#address.place}: ${reasonOf(cause, this.#address)}`
      if (this.#problem?.message !== message) this.#problem = { message, since: this.#problem?.since ?? Date.now() }
      throw new AppError('Unavailable', message, { cause, server: 'history' })
    }
  }
}

export class OpenTransaction {
  readonly client: PostgresClient
  readonly #statementMs: number
  readonly #said: <T>(what: string, work: Promise<T>) => Promise<T>
  #isOpen = true

  constructor(client: PostgresClient, statementMs: number, said: <T>(what: string, work: Promise<T>) => Promise<T>) {
    this.client = client
    this.#statementMs = statementMs
    this.#said = said
  }

  /** @throws AppError Unavailable; the database's own error where a row is at fault. The transaction is abandoned then. */
  async run<T>(what: string, work: Promise<T>): Promise<T> {
    const ms = this.#statementMs
    try {
      return await this.#said(what, ms === 0 ? work : within(ms + graceMs, work, `no answer in ${ms + graceMs} ms`))
    } catch (error) {
      this.abandon()
      throw error
    }
  }

  async query<Row extends pg.QueryResultRow>(what: string, text: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.run(what, this.client.query<Row>(text, values))).rows
  }

  /** When it throws, it may have committed all the same. */
  async commit(): Promise<void> {
    await this.run('commit', this.client.query('COMMIT'))
    if (this.#isOpen) this.client.release()
    this.#isOpen = false
  }

  /** Its connection is closed, and the server rolls back: whatever state it is in. */
  abandon(): void {
    if (this.#isOpen) this.client.release(true)
    this.#isOpen = false
  }
}

/** The pool's own time-out would be one for waiting until another transaction has ended as well. */
class TimelyClient extends pg.Client {
  constructor(config?: pg.ClientConfig) {
    // The pool has hidden its password from all copies.
    super(Object.create(config ?? {}, { connectionTimeoutMillis: { value: connectMs } }))
  }
}

/** Classes of SQLSTATE, data and limits: what is wrong with what was sent, whatever state the server is in. */
const rowClasses = /^(22|54)/

function isOfRow(error: unknown): boolean {
  return rowClasses.test(codeOf(error))
}

function codeOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : ''
}

/** What to do, by SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) or code of Node.js. */
const advice: Readonly<Record<string, string>> = {
  '25006': 'it is a standby or read-only; the address must be that of the primary',
  '28000': 'pg_hba.conf must let this user in from here, with TLS or without as the pipeline says',
  '28P01': 'the password in the Secret is another',
  '3D000': 'create the database',
  '3F000': 'the recorder makes it when it starts',
  '42501': 'grant the user CREATE on the database',
  '42P01': 'the recorder makes it when it starts',
  '53100': 'its disk is full',
  '53300': 'max_connections is reached',
  '55P03': 'another session holds the lock for long',
  '57014': 'it took too long',
}

function reasonOf(error: unknown, { user }: PostgresAddress): string {
  const [line = ''] = messageOf(error).split('\n', 1)
  const code = codeOf(error)
  if (code === '28P01' || code === '28000') return `user ${user}: ${line}; ${advice[code]}`
  const said = line === '' ? code : line
  return advice[code] === undefined ? said : `${said}; ${advice[code]}`
}

function definedOf<T extends object>(values: T): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T
}

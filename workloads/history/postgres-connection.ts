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

/** What a transaction is for: what is wrong with one says nothing of the others. */
export type Purpose = 'Prepare' | 'Take' | 'Write' | 'Ask' | 'Upkeep'

interface KnownProblem extends PostgresProblem {
  /** It is of the connection: whatever succeeds says that it is over. */
  readonly isOfConnection: boolean
}

export interface PostgresOptions {
  readonly address: PostgresAddress
  /** What the database's list of its sessions calls this one. */
  readonly name: string
  readonly connections: number
  readonly log: Logger
  readonly onFailure?: ((purpose: Purpose) => void) | undefined
}

/** How long a transaction waits, in ms. */
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
  readonly #options: PostgresOptions
  readonly #problems = new Map<Purpose, KnownProblem>()

  constructor(options: PostgresOptions) {
    const { host, port, user, password, database, tls } = options.address
    this.#options = options
    this.#pool = new pg.Pool({
      ...{ host, port, user, password, database },
      ssl: tls === undefined ? false : { ...tls, rejectUnauthorized: true },
      application_name: options.name,
      max: options.connections,
      idleTimeoutMillis: 60_000,
      keepAlive: true,
      Client: TimelyClient,
    })
    // The next one who asks is told.
    this.#pool.on('error', () => {})
  }

  /** Why it cannot do its work; what has failed of upkeep can wait. */
  get problem(): PostgresProblem | undefined {
    let first: PostgresProblem | undefined
    for (const [purpose, problem] of this.#problems)
      if (purpose !== 'Upkeep' && (first === undefined || problem.since < first.since)) first = problem
    return first
  }

  /**
   * A client with an open transaction: the caller ends it with `commit` or `abandon`.
   * @throws AppError Unavailable
   */
  async begin(purpose: Purpose, { statementMs, lockMs }: Patience, mode = ''): Promise<OpenTransaction> {
    const failed = (what: string, cause: unknown) => this.#failed(purpose, what, cause)
    const client = await this.#pool.connect().catch((error) => {
      throw failed('connect', error)
    })
    const open = new OpenTransaction(client, { statementMs, failed, committed: () => this.#works(purpose) })
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
    purpose: Purpose,
    patience: Patience,
    work: (transaction: OpenTransaction) => Promise<T>,
    mode?: 'READ ONLY',
  ): Promise<T> {
    const transaction = await this.begin(purpose, patience, mode)
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

  #works(purpose: Purpose): void {
    if (this.#problems.size === 0) return
    this.#problems.delete(purpose)
    for (const [other, { isOfConnection }] of this.#problems) if (isOfConnection) this.#problems.delete(other)
    if (this.#problems.size === 0)
      this.#options.log.info({ database: this.#options.address.place }, 'PostgreSQL does its work again')
  }

  /** What is to be thrown: an error of ours, or the database's own where a row is at fault. */
  #failed(purpose: Purpose, what: string, cause: unknown): unknown {
    const code = codeOf(cause)
    if (rowClasses.test(code)) return cause
    const { address, onFailure } = this.#options
    const message = `Cannot ${what}: PostgreSQL, ${address.place}: ${reasonOf(cause, address)}`
    const since = this.#problems.get(purpose)?.since ?? Date.now()
    this.#problems.set(purpose, {
      message,
      since,
      isOfConnection: !/^[0-9A-Z]{5}$/.test(code) || /^(08|57P)/.test(code),
    })
    onFailure?.(purpose)
    return new AppError('Unavailable', message, { cause, server: 'history' })
  }
}

interface TransactionOptions {
  readonly statementMs: number
  readonly failed: (what: string, cause: unknown) => unknown
  readonly committed: () => void
}

export class OpenTransaction {
  readonly client: PostgresClient
  readonly #options: TransactionOptions
  #isOpen = true

  constructor(client: PostgresClient, options: TransactionOptions) {
    this.client = client
    this.#options = options
  }

  /** @throws AppError Unavailable; the database's own error where a row is at fault. The transaction is abandoned then. */
  async run<T>(what: string, work: Promise<T>): Promise<T> {
    const { statementMs: ms, failed } = this.#options
    try {
      return await within(ms + graceMs, work, `no answer in ${ms + graceMs} ms`)
    } catch (error) {
      this.abandon()
      throw failed(what, error)
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
    this.#options.committed()
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
    // Where nothing is asked of it at the moment, the next question tells that it is gone.
    this.on('error', () => {})
  }
}

/** Classes of SQLSTATE, data and limits: what is wrong with what was sent, whatever state the server is in. */
const rowClasses = /^(22|54)/

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

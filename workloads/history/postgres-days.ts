import type { Logger } from '../../lib/log.ts'
import type { PostgresConnection } from './postgres-connection.ts'
import { lockSchema, quoted } from './postgres-schema.ts'

const dayMs = 86_400_000
const making = { statementMs: 20_000, lockMs: 10_000 }
/** Who waits for this lock holds up all others: a report that runs for long is let finish, and the next hour is another chance. */
const dropping = { statementMs: 20_000, lockMs: 500 }

/** The partitions of verdicts: one a day of when they were published, by UTC. */
export class PostgresDays {
  readonly #connection: PostgresConnection
  readonly #schema: string
  readonly #retentionMs: number
  readonly #log: Logger
  /** First moments of days that are known to have their partition. */
  #known = new Set<number>()

  constructor(
    connection: PostgresConnection,
    { schema, retentionDays, log }: { readonly schema: string; readonly retentionDays: number; readonly log: Logger },
  ) {
    this.#connection = connection
    this.#schema = schema
    this.#retentionMs = retentionDays * dayMs
    this.#log = log
  }

  /** What was published before it is not kept. */
  oldest(now: number): number {
    return dayOf(now - this.#retentionMs)
  }

  /** Makes what is missing of the partitions for these times. */
  async ensure(times: Iterable<number>): Promise<void> {
    const missing = new Set<number>()
    for (const time of times) {
      const day = dayOf(time)
      if (!this.#known.has(day)) missing.add(day)
    }
    for (const day of missing) await this.#make(day)
  }

  /** The database may be another one: looks anew for each day. */
  forget(): void {
    this.#known = new Set()
  }

  async #make(day: number): Promise<void> {
    const name = `${quoted(this.#schema)}.${nameOf(day)}`
    const parent = `${quoted(this.#schema)}.verdicts`
    await this.#connection.transaction('Write', making, async (transaction) => {
      await lockSchema(transaction, this.#schema)
      const [found] = await transaction.query<{ exists: boolean }>(
        'look for the partition of a day',
        'SELECT to_regclass($1) IS NOT NULL AS exists',
        [name],
      )
      if (found!.exists) return
      // To make it as a part of the parent would wait for all who read that, and hold up those who come.
      await transaction.query(
        'create the partition of a day',
        `CREATE TABLE ${name} (LIKE ${parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)`,
      )
      await transaction.query(
        'attach the partition of a day',
        `ALTER TABLE ${parent} ATTACH PARTITION ${name} FOR VALUES FROM ('${textOf(day)}') TO ('${textOf(day + dayMs)}')`,
      )
    })
    this.#known.add(day)
  }

  /** Makes the partitions of today and tomorrow, and drops whole those whose time is over, with the episodes of that time. */
  async maintain(now: number): Promise<void> {
    await this.ensure([now, now + dayMs])
    const oldest = this.oldest(now)
    const schema = quoted(this.#schema)
    const parts = await this.#connection.transaction(
      'Upkeep',
      making,
      (transaction) =>
        transaction.query<{ name: string }>(
          'list the partitions',
          `SELECT relname AS name FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid WHERE inhparent = '${schema}.verdicts'::regclass`,
        ),
      'READ ONLY',
    )
    for (const { name } of parts) {
      const day = dayIn(name)
      if (day === undefined || day >= oldest) continue
      await this.#connection.transaction('Upkeep', dropping, (transaction) =>
        transaction.query('drop the partition of a day', `DROP TABLE IF EXISTS ${schema}.${quoted(name)}`),
      )
      this.#known.delete(day)
      this.#log.info({ schema: this.#schema, partition: name }, 'a day of the history is over its time: dropped')
    }
    await this.#connection.transaction('Upkeep', making, (transaction) =>
      transaction.query('drop old episodes', `DELETE FROM ${schema}.episodes WHERE published < $1`, [textOf(oldest)]),
    )
  }
}

/** The first moment of a day, by UTC. */
export function dayOf(time: number): number {
  return Math.floor(time / dayMs) * dayMs
}

function nameOf(day: number): string {
  return `verdicts_${new Date(day).toISOString().slice(0, 10).replaceAll('-', '')}`
}

function dayIn(name: string): number | undefined {
  const match = /^verdicts_(\d{4})(\d{2})(\d{2})$/.exec(name)
  return match === null ? undefined : Date.UTC(Number(match[1]), Number(match[2]) - 1, Number(match[3]))
}

const textOf = (day: number): string => `${new Date(day).toISOString().slice(0, 10)} 00:00:00+00`

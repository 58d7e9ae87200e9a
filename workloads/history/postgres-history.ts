import { once } from 'node:events'
import { from as copyFrom } from 'pg-copy-streams'
import type { Episode } from '../detection/episode.ts'
import {
  type DecidedRow,
  decidedEventOf,
  type EpisodeQuery,
  type History,
  type Lane,
  type LaneQuery,
  type Page,
  type PageOptions,
  type PlacedRow,
  pageOfRows,
  placeOf,
  type SeriesPoint,
  timeOf,
  type VerdictQuery,
} from './history.ts'
import { type OpenTransaction, type PostgresConnection, writing } from './postgres-connection.ts'
import type { PostgresDays } from './postgres-days.ts'
import { columnText, copiedColumns, RowBuffer } from './postgres-rows.ts'
import { quoted } from './postgres-schema.ts'

/** Of a question that somebody waits for. */
const asking = { statementMs: 4000, lockMs: 2000 }

/** Events that are read at once where all are read. */
const portion = 5000

export interface PostgresHistoryOptions {
  readonly connection: PostgresConnection
  readonly schema: string
  readonly days: PostgresDays
}

/** History in a schema of PostgreSQL that the recorder made. */
export function createPostgresHistory({ connection, schema, days }: PostgresHistoryOptions): History {
  const verdicts = `${quoted(schema)}.verdicts`
  const episodes = `${quoted(schema)}.episodes`

  async function ask<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return connection.transaction(
      'Ask',
      asking,
      (transaction) => transaction.query<Row>('ask the history', text, [...values]),
      'READ ONLY',
    )
  }

  /** `order` is the column of time, and `json` that of the text. */
  async function pageOf(
    table: string,
    { order, json }: { readonly order: string; readonly json: string },
    filter: Filter,
    { limit, cursor }: PageOptions,
  ): Promise<Page<string>> {
    if (cursor !== undefined) {
      const [time, id] = placeOf(cursor)
      filter.add(`(${order}, id) < (?, ?)`, timestampText(time), id)
    }
    const rows = await ask<PlacedRow>(
      `SELECT ${millisecondsOf(order)} AS place, id, ${json}::text AS json FROM ${table} ${filter.where}
       ORDER BY ${order} DESC, id DESC LIMIT ${limit + 1}`,
      filter.values,
    )
    return pageOfRows(rows, limit)
  }

  return {
    async record(events, changed) {
      const now = Date.now()
      await days.ensure([now])
      await connection.transaction('Write', writing, async (transaction) => {
        const rows = new RowBuffer()
        for (const event of events) rows.add(event, now)
        await copyRows(transaction, schema, rows)
        await putEpisodes(transaction, schema, changed, now)
      })
    },
    async result(eventId) {
      const [found] = await ask<{ json: string }>(
        `SELECT verdict::text AS json FROM ${verdicts} WHERE event_id = $1 ORDER BY id LIMIT 1`,
        [columnText(eventId)],
      )
      return found?.json
    },
    async event(eventId) {
      const [found] = await ask<{ event: string | null }>(
        `SELECT event FROM ${verdicts} WHERE event_id = $1 ORDER BY id LIMIT 1`,
        [columnText(eventId)],
      )
      return found?.event ?? undefined
    },
    results: (query, page) => pageOf(verdicts, { order: 'time', json: 'verdict' }, verdictFilter(query), page),
    async episode(episodeId) {
      const [found] = await ask<{ json: string }>(
        `SELECT episode::text AS json FROM ${episodes} WHERE episode_id = $1`,
        [columnText(episodeId)],
      )
      return found && (JSON.parse(found.json) as Episode)
    },
    async episodes(query, page) {
      const filter = episodeFilter(query)
      const { items, next } = await pageOf(episodes, { order: 'last_time', json: 'episode' }, filter, page)
      return { items: items.map((json) => JSON.parse(json) as Episode), next }
    },
    async series(key, { from, to, points }): Promise<readonly SeriesPoint[]> {
      const filter = verdictFilter({ key, from, to })
      const [span] = await ask<{ first: number | null; last: number | null; events: number }>(
        `SELECT ${millisecondsOf('min(time)')}::float8 AS first, ${millisecondsOf('max(time)')}::float8 AS last, count(*)::float8 AS events
         FROM ${verdicts} ${filter.where}`,
        filter.values,
      )
      const { first, last, events } = span!
      if (first === null || last === null) return []
      // Few events are each a point; many are cut into stretches of equal length.
      const stretch = events <= points ? 0 : Math.ceil((last - first + 1) / points)
      const group = stretch === 0 ? 'id' : `(${millisecondsOf('time')} - ${first}) / ${stretch}`
      return ask<SeriesPoint>(
        `SELECT ${millisecondsOf('min(time)')}::float8 AS time, count(*)::float8 AS events,
           avg(value) AS value, min(value) AS low, max(value) AS high,
           max(score) AS score, (max(ARRAY[score, threshold]))[2] AS threshold,
           (count(*) FILTER (WHERE is_anomaly))::float8 AS alerts, max(expected) AS expected
         FROM ${verdicts} ${filter.where} GROUP BY ${group} ORDER BY min(time), min(id)`,
        filter.values,
      )
    },
    async lanes({ from, to, buckets, limit, offset }: LaneQuery): Promise<readonly Lane[]> {
      const filter = verdictFilter({ from, to, anomalies: true })
      const worst = await ask<{ key: string; alerts: number }>(
        `SELECT key, count(*)::float8 AS alerts FROM ${verdicts} ${filter.where}
         GROUP BY key ORDER BY count(*) DESC, key LIMIT ${limit} OFFSET ${offset}`,
        filter.values,
      )
      if (worst.length === 0) return []
      const stretch = Math.max(1, Math.ceil((to - from) / buckets))
      filter.add(
        'key = ANY(?)',
        worst.map(({ key }) => key),
      )
      const found = await ask<{ key: string; bucket: number; score: number }>(
        `SELECT key, ((${millisecondsOf('time')} - (${Math.floor(from)})) / ${stretch})::float8 AS bucket, max(score) AS score
         FROM ${verdicts} ${filter.where} GROUP BY 1, 2`,
        filter.values,
      )
      const lanes = new Map(worst.map(({ key }) => [key, new Array<number>(buckets).fill(0)]))
      for (const { key, bucket, score } of found) lanes.get(key)![bucket] = score
      return worst.map(({ key, alerts }) => ({ key, alerts, scores: lanes.get(key)! }))
    },
    async *decided({ from, to, limit }) {
      const within = verdictFilter({ from, to })
      const [first] = await ask<{ at: number; id: string }>(
        `SELECT ${millisecondsOf('time')}::float8 AS at, id FROM ${verdicts} ${within.where}
         ORDER BY time DESC, id DESC LIMIT 1 OFFSET ${limit - 1}`,
        within.values,
      )
      let [time, id] = first === undefined ? [from, '0'] : [first.at, first.id]
      for (;;) {
        const rest = verdictFilter({ to }).add('(time, id) >= (?, ?)', timestampText(time), id)
        const rows = await ask<DecidedRow & { readonly id: string }>(
          `SELECT id, event_id AS "eventId", key, ${millisecondsOf('time')}::float8 AS time, score, threshold,
             is_anomaly AS "isAnomaly", feature, CASE WHEN is_anomaly OR score >= threshold THEN verdict::text END AS json
           FROM ${verdicts} ${rest.where} ORDER BY verdicts.time, id LIMIT ${portion}`,
          rest.values,
        )
        yield rows.map(({ id: _, ...row }) => decidedEventOf(row))
        const last = rows.at(-1)
        if (last === undefined || rows.length < portion) return
        ;[time, id] = [last.time, String(BigInt(last.id) + 1n)]
      }
    },
    async span() {
      const [found] = await ask<{ first: number | null; last: number | null }>(
        `SELECT ${millisecondsOf('min(time)')}::float8 AS first, ${millisecondsOf('max(time)')}::float8 AS last FROM ${verdicts}`,
      )
      const { first, last } = found!
      return first === null || last === null ? undefined : { first, last }
    },
    close: () => connection.close(),
  }
}

/** Adds the rows; their days have their partitions. */
export async function copyRows(transaction: OpenTransaction, schema: string, rows: RowBuffer): Promise<void> {
  if (rows.rows === 0) return
  const copy = transaction.client.query(
    copyFrom(`COPY ${quoted(schema)}.verdicts (${copiedColumns}) FROM STDIN (FORMAT binary)`),
  )
  const done = once(copy, 'finish')
  copy.end(rows.bytes())
  await transaction.run('write verdicts', done)
}

/** What became of them last counts. */
export async function putEpisodes(
  transaction: OpenTransaction,
  schema: string,
  changed: readonly Episode[],
  published: number,
): Promise<void> {
  const last = [...new Map(changed.map((episode) => [columnText(episode.episodeId), episode]))]
  if (last.length === 0) return
  const table = `${quoted(schema)}.episodes`
  const columns = 'episode_id, key, state, first_time, last_time, episode'
  await transaction.query(
    'write episodes',
    `INSERT INTO ${table} (published, ${columns})
     SELECT $1::timestamptz, * FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::json[])
     ON CONFLICT (episode_id) DO UPDATE SET published = excluded.published, key = excluded.key, state = excluded.state,
       first_time = excluded.first_time, last_time = excluded.last_time, episode = excluded.episode`,
    [
      timestampText(published),
      last.map(([id]) => id),
      last.map(([, { userId }]) => (userId === null ? null : columnText(userId))),
      last.map(([, { state }]) => state),
      last.map(([, { firstTimestamp }]) => timestampText(timeOf(firstTimestamp))),
      last.map(([, { lastTimestamp }]) => timestampText(timeOf(lastTimestamp))),
      last.map(([, episode]) => JSON.stringify(episode)),
    ],
  )
}

/** Conditions and their values; `?` stands for a value. */
class Filter {
  readonly #conditions: string[] = []
  readonly values: unknown[] = []

  add(condition: string, ...values: readonly unknown[]): this {
    let next = this.values.length
    this.#conditions.push(condition.replaceAll('?', () => `$${++next}`))
    this.values.push(...values)
    return this
  }

  /** Nothing where there is no value. */
  given<T>(condition: string, value: T | undefined, shown: (value: T) => unknown = (same) => same): this {
    return value === undefined ? this : this.add(condition, shown(value))
  }

  get where(): string {
    return this.#conditions.length === 0 ? '' : `WHERE ${this.#conditions.join(' AND ')}`
  }
}

function verdictFilter({ key, from, to, anomalies, reason }: VerdictQuery): Filter {
  const filter = new Filter()
    .given('key = ?', key, columnText)
    .given('time >= ?', from, timestampText)
    .given('time < ?', to, timestampText)
    .given('feature = ?', reason, columnText)
  return anomalies === true ? filter.add('is_anomaly') : filter
}

function episodeFilter({ key, from, to, state }: EpisodeQuery): Filter {
  return new Filter()
    .given('key = ?', key, columnText)
    .given('last_time >= ?', from, timestampText)
    .given('first_time < ?', to, timestampText)
    .given('state = ?', state)
}

/** Exact, in whole milliseconds since 1970. */
const millisecondsOf = (time: string): string => `floor(extract(epoch FROM ${time}) * 1000)::bigint`

/** A time as PostgreSQL reads it, which knows no sign before a year. */
export function timestampText(ms: number): string {
  const date = new Date(timeOf(Math.ceil(ms)))
  const year = date.getUTCFullYear()
  const rest = date.toISOString().slice(-20, -1).replace('T', ' ')
  return year > 0 ? `${String(year).padStart(4, '0')}${rest}+00` : `${String(1 - year).padStart(4, '0')}${rest}+00 BC`
}

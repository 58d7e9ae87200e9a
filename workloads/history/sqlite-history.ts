import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { setImmediate } from 'node:timers/promises'
import { AppError } from '../../lib/errors.ts'
import { type Episode, leadingFeature } from '../detection/episode.ts'
import type { DecidedEvent } from '../detection/what-if.ts'
import {
  type DecidedQuery,
  type DecidedRow,
  decidedEventOf,
  type EpisodeQuery,
  expectedValueOf,
  type History,
  type JudgedEvent,
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

/** So many verdicts are kept, and every alert: the oldest of the others go first. */
const mostVerdicts = 1_000_000
/** Events that are read at once where all are read, one portion after the other: between them the process judges. */
const portion = 2000
/** Verdicts between two looks at how many there are. */
const trimEvery = 10_000
/** Of this layout; a file of another one is refused. */
const layout = 1

const schema = `
  CREATE TABLE IF NOT EXISTS verdicts (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    key TEXT NOT NULL,
    time INTEGER NOT NULL,
    is_anomaly INTEGER NOT NULL,
    score REAL NOT NULL,
    threshold REAL NOT NULL,
    value REAL,
    expected REAL,
    feature TEXT NOT NULL,
    json TEXT NOT NULL,
    event TEXT
  ) STRICT;
  CREATE INDEX IF NOT EXISTS verdicts_by_event ON verdicts (event_id);
  CREATE INDEX IF NOT EXISTS verdicts_by_key ON verdicts (key, time, id);
  CREATE INDEX IF NOT EXISTS verdicts_by_time ON verdicts (time, id);
  CREATE INDEX IF NOT EXISTS alerts_by_time ON verdicts (time, id) WHERE is_anomaly = 1;
  CREATE TABLE IF NOT EXISTS episodes (
    id INTEGER PRIMARY KEY,
    episode_id TEXT NOT NULL UNIQUE,
    key TEXT,
    state TEXT NOT NULL,
    first_time INTEGER NOT NULL,
    last_time INTEGER NOT NULL,
    json TEXT NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS episodes_by_time ON episodes (last_time, id);
  CREATE INDEX IF NOT EXISTS episodes_by_key ON episodes (key, last_time, id);
`

/** History in a file of SQLite, for one process: written in the process that judges, one transaction a batch. @throws AppError */
export function openSqliteHistory(path: string, { keep = mostVerdicts }: { readonly keep?: number } = {}): History {
  const db = openFile(path)
  const sql = (text: string): StatementSync => db.prepare(text)
  const putVerdict = sql(
    'INSERT INTO verdicts (event_id, key, time, is_anomaly, score, threshold, value, expected, feature, json, event) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  )
  const putEpisode = sql(
    `INSERT INTO episodes (episode_id, key, state, first_time, last_time, json) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (episode_id) DO UPDATE SET state = excluded.state, last_time = excluded.last_time, json = excluded.json`,
  )
  const trim = sql('DELETE FROM verdicts WHERE is_anomaly = 0 AND id <= (SELECT max(id) FROM verdicts) - ?')
  const verdictOfEvent = sql('SELECT json FROM verdicts WHERE event_id = ? ORDER BY id LIMIT 1')
  const eventOf = sql('SELECT event FROM verdicts WHERE event_id = ? ORDER BY id LIMIT 1')
  const episodeOf = sql('SELECT json FROM episodes WHERE episode_id = ?')
  const earliest = sql('SELECT min(time) AS time FROM verdicts')
  const latest = sql('SELECT max(time) AS time FROM verdicts')
  let sinceTrim = 0

  function write(events: readonly JudgedEvent[], episodes: readonly Episode[]): void {
    for (const { verdict, json, value, event } of events) {
      const { eventId, userId, timestamp, isAnomaly, anomalyScore, threshold } = verdict
      putVerdict.run(
        ...[eventId, userId, timeOf(timestamp), isAnomaly ? 1 : 0, anomalyScore, threshold],
        ...[Number.isFinite(value) ? value : null, expectedValueOf(verdict), leadingFeature(verdict), json],
        event ?? null,
      )
    }
    for (const episode of episodes) {
      const { episodeId, userId, state, firstTimestamp, lastTimestamp } = episode
      putEpisode.run(episodeId, userId, state, timeOf(firstTimestamp), timeOf(lastTimestamp), JSON.stringify(episode))
    }
    sinceTrim += events.length
    if (sinceTrim < trimEvery) return
    sinceTrim = 0
    trim.run(keep)
  }

  return {
    async record(events, episodes) {
      if (events.length === 0 && episodes.length === 0) return
      db.exec('BEGIN')
      try {
        write(events, episodes)
        db.exec('COMMIT')
      } catch (error) {
        db.exec('ROLLBACK')
        throw new AppError('Unavailable', `${path} cannot be written: ${(error as Error).message}`, { cause: error })
      }
    },
    async result(eventId) {
      return (verdictOfEvent.get(eventId) as { json: string } | undefined)?.json
    },
    async event(eventId) {
      return (eventOf.get(eventId) as { event: string | null } | undefined)?.event ?? undefined
    },
    async episode(episodeId) {
      const found = episodeOf.get(episodeId) as { json: string } | undefined
      return found && (JSON.parse(found.json) as Episode)
    },
    async results(query, page) {
      return pageOf(db, { table: 'verdicts', order: 'time' }, verdictFilter(query), page)
    },
    async episodes(query, page) {
      const { items, next } = pageOf(db, { table: 'episodes', order: 'last_time' }, episodeFilter(query), page)
      return { items: items.map((json) => JSON.parse(json) as Episode), next }
    },
    async series(key, query) {
      return seriesOf(db, key, query)
    },
    async lanes(query) {
      return lanesOf(db, query)
    },
    decided: (query) => decidedOf(db, query),
    async span() {
      // Each by itself is found in the index.
      const [first, last] = [earliest, latest].map((edge) => (edge.get() as { time: number | null }).time)
      return first == null || last == null ? undefined : { first, last }
    },
    async close() {
      db.close()
    },
  }
}

function openFile(path: string): DatabaseSync {
  try {
    const db = new DatabaseSync(path)
    const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number }
    const { tables } = db.prepare('SELECT count(*) AS tables FROM sqlite_schema').get() as { tables: number }
    if (version !== layout && tables > 0)
      throw new AppError(
        'InvalidArgument',
        `--history-db ${path}: this file is no history of this version; name another`,
      )
    db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA user_version = ${layout}; ${schema}`)
    return db
  } catch (error) {
    if (error instanceof AppError) throw error
    throw new AppError('InvalidArgument', `--history-db ${path}: ${(error as Error).message}`, { cause: error })
  }
}

interface Filter {
  readonly conditions: readonly string[]
  readonly values: readonly SQLInputValue[]
}

function filterOf(parts: readonly (readonly [condition: string, value: SQLInputValue | undefined])[]): Filter {
  const given = parts.filter((part): part is readonly [string, SQLInputValue] => part[1] !== undefined)
  return { conditions: given.map(([condition]) => condition), values: given.map(([, value]) => value) }
}

function verdictFilter({ key, from, to, anomalies, reason }: VerdictQuery): Filter {
  const { conditions, values } = filterOf([
    ['key = ?', key],
    ['time >= ?', from],
    ['time < ?', to],
    ['feature = ?', reason],
  ])
  return { conditions: anomalies === true ? [...conditions, 'is_anomaly = 1'] : conditions, values }
}

function episodeFilter({ key, from, to, state }: EpisodeQuery): Filter {
  return filterOf([
    ['key = ?', key],
    ['last_time >= ?', from],
    ['first_time < ?', to],
    ['state = ?', state],
  ])
}

function pageOf(
  db: DatabaseSync,
  { table, order }: { readonly table: string; readonly order: string },
  { conditions, values }: Filter,
  { limit, cursor }: PageOptions,
): Page<string> {
  const place = cursor === undefined ? undefined : placeOf(cursor)
  const after = place === undefined ? [] : [`(${order}, id) < (?, ?)`]
  const where = [...conditions, ...after].join(' AND ')
  const rows = db
    .prepare(
      `SELECT ${order} AS place, id, json FROM ${table} ${where === '' ? '' : `WHERE ${where}`} ORDER BY ${order} DESC, id DESC LIMIT ?`,
    )
    .all(...values, ...(place ?? []), limit + 1) as unknown as PlacedRow[]
  return pageOfRows(rows, limit)
}

function seriesOf(
  db: DatabaseSync,
  key: string,
  { from, to, points }: Parameters<History['series']>[1],
): readonly SeriesPoint[] {
  const { conditions, values } = verdictFilter({ key, from, to })
  const where = conditions.join(' AND ')
  const span = db.prepare(
    `SELECT min(time) AS first, max(time) AS last, count(*) AS events FROM verdicts WHERE ${where}`,
  )
  const { first, last, events } = span.get(...values) as { first: number | null; last: number | null; events: number }
  if (first === null || last === null) return []
  // Few events are each a point; many are cut into stretches of equal length.
  const stretch = events <= points ? 0 : Math.ceil((last - first + 1) / points)
  const group = stretch === 0 ? 'id' : `(time - ${first}) / ${stretch}`
  return db
    .prepare(
      `SELECT min(time) AS time, count(*) AS events, avg(value) AS value, min(value) AS low, max(value) AS high,
         max(score) AS score, threshold, sum(is_anomaly) AS alerts, max(expected) AS expected
       FROM verdicts WHERE ${where} GROUP BY ${group} ORDER BY time, id`,
    )
    .all(...values) as unknown as readonly SeriesPoint[]
}

function lanesOf(db: DatabaseSync, { from, to, buckets, limit, offset }: LaneQuery): readonly Lane[] {
  const worst = db
    .prepare(
      `SELECT key, count(*) AS alerts FROM verdicts WHERE is_anomaly = 1 AND time >= ? AND time < ?
       GROUP BY key ORDER BY alerts DESC, key LIMIT ? OFFSET ?`,
    )
    .all(from, to, limit, offset) as unknown as { key: string; alerts: number }[]
  const stretch = Math.max(1, Math.ceil((to - from) / buckets))
  const scores = db.prepare(
    `SELECT CAST((time - ?) / ? AS INTEGER) AS bucket, max(score) AS score FROM verdicts
     WHERE is_anomaly = 1 AND key = ? AND time >= ? AND time < ? GROUP BY bucket`,
  )
  return worst.map(({ key, alerts }) => {
    const lane = new Array<number>(buckets).fill(0)
    const found = scores.all(from, stretch, key, from, to) as unknown as { bucket: number; score: number }[]
    for (const { bucket, score } of found) lane[bucket] = score
    return { key, alerts, scores: lane }
  })
}

type Stored = Omit<DecidedRow, 'isAnomaly'> & { readonly id: number; readonly isAnomaly: number }

async function* decidedOf(db: DatabaseSync, { from, to, limit }: DecidedQuery): AsyncIterable<readonly DecidedEvent[]> {
  const first = db
    .prepare('SELECT time, id FROM verdicts WHERE time >= ? AND time < ? ORDER BY time DESC, id DESC LIMIT 1 OFFSET ?')
    .get(from, to, limit - 1) as { time: number; id: number } | undefined
  const next = db.prepare(
    `SELECT id, event_id AS eventId, key, time, score, threshold, is_anomaly AS isAnomaly, feature,
       CASE WHEN is_anomaly = 1 OR score >= threshold THEN json END AS json
     FROM verdicts WHERE (time, id) >= (?, ?) AND time < ? ORDER BY time, id LIMIT ?`,
  )
  let [time, id] = first === undefined ? [from, 0] : [first.time, first.id]
  for (;;) {
    const rows = next.all(time, id, to, portion) as unknown as Stored[]
    yield rows.map(({ id: _, ...row }) => decidedEventOf({ ...row, isAnomaly: row.isAnomaly === 1 }))
    const last = rows.at(-1)
    if (last === undefined || rows.length < portion) return
    ;[time, id] = [last.time, last.id + 1]
    await setImmediate()
  }
}

import { Counter, Gauge, type Registry } from 'prom-client'
import { omissions, type Recorded } from '../history/postgres-recording.ts'

/** What there is to record. */
export type Recordable = 'verdict' | 'episode'

/** How far a topic is recorded. */
export interface RecordLag {
  readonly records: number
  readonly seconds: number
}

export interface RecordMetrics {
  recorded(what: Recordable, recorded: Recorded): void
  failed(): void
  /** Since the start. */
  readonly rows: Readonly<Record<Recordable, number>>
}

/** @param lag of each topic that is recorded, as it is now */
export function createRecordMetrics(
  registry: Registry,
  lag: () => Readonly<Partial<Record<Recordable, RecordLag>>>,
): RecordMetrics {
  const registers = [registry]
  const rows = { verdict: 0, episode: 0 }
  const counted = new Counter({
    name: 'anomaly_record_rows_total',
    help: 'Rows written to the history, by what they hold: verdict, or episode, once a change',
    labelNames: ['what'],
    registers,
  })
  const omitted = new Counter({
    name: 'anomaly_record_omitted_total',
    help: 'Records without a row: of another pipeline, no verdict or episode, older than what is kept, or refused by the database',
    labelNames: ['reason'],
    registers,
  })
  const failures = new Counter({
    name: 'anomaly_record_failures_total',
    help: 'Times that PostgreSQL was asked and did not do it',
    registers,
  })
  for (const what of ['verdict', 'episode']) counted.inc({ what }, 0)
  for (const reason of omissions) omitted.inc({ reason }, 0)
  const show = (gauge: Gauge<'what'>, of: keyof RecordLag): void => {
    for (const [what, behind] of Object.entries(lag())) gauge.set({ what }, behind[of])
  }
  new Gauge({
    name: 'anomaly_record_lag',
    help: 'Published records that are not recorded yet',
    labelNames: ['what'],
    registers,
    collect() {
      show(this, 'records')
    },
  })
  new Gauge({
    name: 'anomaly_record_lag_seconds',
    help: 'How long ago the oldest of them was published; where that is not known, since when PostgreSQL does not do its work',
    labelNames: ['what'],
    registers,
    collect() {
      show(this, 'seconds')
    },
  })
  return {
    recorded(what, recorded) {
      rows[what] += recorded.rows
      counted.inc({ what }, recorded.rows)
      for (const [reason, count] of Object.entries(recorded.omitted)) omitted.inc({ reason }, count)
    },
    failed: () => failures.inc(),
    rows,
  }
}

import type { ModelRecord } from '../detection/model-record.ts'

/** A record as `/status` and `anomaly models --json` show it. */
export function shownRecord({ columns, times, fittedAt, rowsSeen, ...record }: ModelRecord) {
  return {
    ...record,
    rows: rowsSeen,
    features: columns,
    firstEvent: timeOf(times?.first),
    lastEvent: timeOf(times?.last),
    fitTime: timeOf(fittedAt),
  }
}

/** RFC 3339. */
const timeOf = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : new Date(ms).toISOString()

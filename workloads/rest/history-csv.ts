import type { Verdict } from '../detection/verdict.ts'

type Cell = string | number | boolean | null | undefined

const columns: Readonly<Record<string, (verdict: Verdict) => Cell>> = {
  eventId: ({ eventId }) => eventId,
  userId: ({ userId }) => userId,
  timestamp: ({ timestamp }) => timestamp && new Date(timestamp).toISOString(),
  isAnomaly: ({ isAnomaly }) => isAnomaly,
  anomalyScore: ({ anomalyScore }) => anomalyScore,
  threshold: ({ threshold }) => threshold,
  confidence: ({ confidence }) => confidence,
  modelVersion: ({ modelVersion }) => modelVersion,
  suppressedBy: ({ suppressedBy }) => suppressedBy,
  degraded: ({ degraded }) => degraded,
  feature: ({ reasons }) => reasons[0]?.feature,
  observed: ({ reasons }) => reasons[0]?.observed,
  expected: ({ reasons }) => reasons[0]?.expected,
}

/** RFC 4180. */
export const csvHeader = `${Object.keys(columns).join(',')}\r\n`

/** A verdict with its strongest reason. */
export function csvRow(verdict: Verdict): string {
  const cells = Object.values(columns).map((read) => cellOf(read(verdict)))
  return `${cells.join(',')}\r\n`
}

function cellOf(value: Cell): string {
  if (value === null || value === undefined) return ''
  const text = String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

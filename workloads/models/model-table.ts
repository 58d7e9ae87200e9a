import type { DetectionSpec } from '../../lib/pipeline/spec.ts'
import type { ModelRecord } from '../detection/model-record.ts'

type Served = { readonly current: string | undefined } & NonNullable<DetectionSpec['model']>

const head = ['VERSION', 'SERVES', 'ROWS', 'FEATURES', 'EVENTS FROM', 'TO', 'OUTCOME', 'AGREEMENT', 'ALERTS', 'SHA-256']

/** The models that are kept, a line each, newest first; a reason has a line of its own. */
export function modelTable(records: readonly ModelRecord[], served: Served): string {
  if (records.length === 0) return 'No model was fitted yet\n'
  const rows = [head, ...records.map((record) => rowOf(record, served))]
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  )
  const reasons = records.flatMap(({ version, reason }) => (reason === undefined ? [] : [`${version}: ${reason}`]))
  return `${[...lines, ...reasons].join('\n')}\n`
}

function rowOf(record: ModelRecord, { current, pin, challenger }: Served): readonly string[] {
  const { version, rowsSeen, columns, times, outcome, comparison, checksum } = record
  const isChampion = version === (pin ?? current)
  const serves = isChampion
    ? pin === undefined
      ? 'champion'
      : 'pinned'
    : version === challenger?.version
      ? `${challenger.percentOfKeys} % of the keys`
      : ''
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`
  return [
    version,
    serves,
    rowsSeen.toLocaleString('en-US'),
    String(columns.length),
    minuteOf(times?.first),
    minuteOf(times?.last),
    outcome,
    comparison === undefined ? '' : (comparison.agreement?.toFixed(2) ?? 'none'),
    comparison === undefined ? '' : `${percent(comparison.candidateRate)} (${percent(comparison.presentRate)} before)`,
    checksum.slice(0, 12),
  ]
}

const minuteOf = (ms: number | undefined): string =>
  ms === undefined ? '' : new Date(ms).toISOString().slice(0, 16).replace('T', ' ')

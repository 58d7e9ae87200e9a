import { formatNumber, formatShare } from '../../terminal/wording.ts'
import type { Tuning } from './tune.ts'

/** A table of texts, the first row the heading; columns of numbers stand to the right. */
export interface TextTable {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** Row that is proposed. */
  readonly chosen: number
}

/** The pipelines that were tried, the given one first. */
export function alternativesTable({ alternatives, chosen, isLabelled }: Tuning): TextTable {
  const hasState = alternatives.some(({ stateBytes }) => stateBytes > 0)
  return {
    head: [
      'DETECTORS',
      isLabelled ? 'FOUND' : 'INJECTED FOUND',
      'OTHERS',
      'OTHERS A DAY',
      'QUALITY',
      'IN BOTH PARTS',
      ...(hasState ? ['STATE'] : []),
    ],
    rows: alternatives.map(({ name, found, missed, wrong, wrongPerDay, quality, parts, stateBytes }) => [
      name,
      `${formatNumber(found)} of ${formatNumber(found + missed)}`,
      formatNumber(wrong),
      formatNumber(wrongPerDay),
      measure(quality),
      parts.map((part) => measure(part.quality)).join(' / '),
      ...(hasState ? [bytes(stateBytes)] : []),
    ]),
    chosen: alternatives.indexOf(chosen),
  }
}

/** What other budgets of the pipeline that is proposed come to. */
export function budgetsTable({ budgets, proposal, isLabelled }: Tuning): TextTable {
  const perMillion = proposal.spec.detection.alertBudget?.perMillion ?? proposal.spec.detection.alertBudgetPerMillion
  return {
    head: ['PER MILLION', 'ALERTS A DAY', 'USED', isLabelled ? 'FOUND' : 'INJECTED FOUND', 'OTHERS', 'OTHERS A DAY'],
    rows: budgets.map(({ perMillion, alertsPerDay, got, found, missed, wrong, wrongPerDay }) => [
      formatNumber(perMillion),
      formatNumber(alertsPerDay),
      formatShare(got),
      `${formatNumber(found)} of ${formatNumber(found + missed)}`,
      formatNumber(wrong),
      formatNumber(wrongPerDay),
    ]),
    chosen: budgets.findIndex((one) => one.perMillion === (perMillion ?? 1000)),
  }
}

/** The table for a terminal; what is proposed has a mark. */
export function tableText({ head, rows, chosen }: TextTable): readonly string[] {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)))
  return all.map((row, at) => {
    const cells = row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
    return `${at - 1 === chosen ? '→' : ' '} ${cells.join('  ')}`.trimEnd()
  })
}

function measure(quality: number): string {
  return Number.isNaN(quality) ? formatNumber(quality) : quality.toFixed(3)
}

function bytes(count: number): string {
  const mebibytes = count / 2 ** 20
  return mebibytes < 1 ? `${formatNumber(count / 1024)} KiB` : `${formatNumber(mebibytes)} MiB`
}

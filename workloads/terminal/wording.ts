/** How numbers, times and reasons read, the same in the terminal and in the report. */

import type { Reason } from '../detection/verdict.ts'

/** What stands where a number has no meaning. */
const nothing = '–'

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const oneDecimal = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })
const threeDigits = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

/** At least three digits of any number: 0.0123, 42, 125.5, 12,346, 1.5e-7. */
export function formatNumber(x: number | null): string {
  if (x === null || Number.isNaN(x)) return nothing
  const size = Math.abs(x)
  if (!Number.isFinite(x)) return x > 0 ? '∞' : '−∞'
  if (size >= 1e15 || (size < 1e-4 && size > 0)) return x.toExponential(1).replace('e+', 'e')
  if (size >= 1000) return grouped.format(x)
  return size >= 100 ? oneDecimal.format(x) : threeDigits.format(x)
}

/** A number of things: 1 alert, 1,234 alerts. */
export function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${formatNumber(count)} ${count === 1 ? noun : plural}`
}

/** Numbers of one column, with as many decimals each: what the one with most needs, two or three digits at most. */
export function formatColumn(numbers: readonly number[]): string[] {
  const finite = numbers.filter(Number.isFinite)
  const largest = finite.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
  if (largest >= 1e15 || (largest < 1e-4 && largest > 0)) return numbers.map(formatNumber)
  const most = Math.max(2, 2 - Math.floor(Math.log10(largest || 1)))
  let decimals = 0
  while (decimals < most && finite.some((x) => Math.abs(Number(x.toFixed(decimals)) - x) > 1e-9 * largest)) decimals++
  const format = new Intl.NumberFormat('en', { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
  return numbers.map((x) => (Number.isFinite(x) ? format.format(x) : formatNumber(x)))
}

/** A share of 1 in per cent: 62 %, 7.5 %, 0.04 %. */
export function formatShare(share: number): string {
  if (!Number.isFinite(share)) return nothing
  const percent = share * 100
  if (percent === 0) return '0 %'
  if (percent < 0.01) return '< 0.01 %'
  return `${percent >= 9.95 ? percent.toFixed(0) : percent.toPrecision(percent >= 0.995 ? 2 : 1)} %`
}

/** An anomaly score with two digits of what it lacks to 1, never rounded up to 1: 0.50, 0.990, 0.99987. */
export function formatScore(score: number): string {
  if (Number.isNaN(score)) return nothing
  if (score <= 0) return '0'
  if (score >= 1) return '1'
  const decimals = Math.max(2, Math.ceil(-Math.log10(1 - score)) + 1)
  return decimals > 10 ? '> 0.9999999999' : score.toFixed(decimals)
}

/** UTC to the second: 2024-03-12 14:03:22. */
export function formatTime(time: number | null): string {
  return time === null || Number.isNaN(time) ? nothing : new Date(time).toISOString().slice(0, 19).replace('T', ' ')
}

const spans = [
  ['year', 31_557_600],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const

/** In the largest unit that gives at least two: 74 days, 36 hours, 90 seconds. */
export function formatDuration(seconds: number): string {
  const [unit, length] = spans.find(([, length]) => seconds >= 2 * length) ?? ['second', 1]
  const amount = seconds / length
  const text = amount < 10 ? oneDecimal.format(amount) : grouped.format(amount)
  return `${text} ${unit}${text === '1' ? '' : 's'}`
}

/** The same for a line of a table, without who says so: `amount 950 (usual 42)`, `value 125.5 is above 100 (rule limit)`. */
export function briefReason(reason: Reason): string {
  if (reason.rule !== undefined) return describeReason(reason)
  const expected = reason.category === undefined ? formatNumber(reason.expected) : nothing
  const usual = expected === nothing ? '' : ` (usual ${expected})`
  return repeats(reason) ? `${seenOf(reason)} after values unlike any before` : `${seenOf(reason)}${usual}`
}

/** What was strange is then not the number itself but those that came before it. */
function repeats({ shape, observed, expected }: Reason): boolean {
  return shape !== undefined && formatNumber(observed) === formatNumber(expected)
}

function seenOf({ detector, feature, category, observed, expected }: Reason): string {
  if (detector === 'feedback') return `${feature} ${category}, ${formatNumber(observed)} confirmed lately`
  if (category !== undefined)
    return `${feature} ${category}, seen in ${formatNumber(observed)} of ${formatNumber(expected)}`
  const number = formatNumber(observed)
  return number !== nothing ? `${feature} ${number}` : feature === 'interval' ? feature : `${feature} missing`
}

/**
 * The reason in plain words: `amount 950 where 42 was expected (profile, 62 %)`, or for a limit that a person wrote,
 * `value 125.5 is above 100 (rule limit)`.
 */
export function describeReason(reason: Reason): string {
  const { detector, rule, feature, shape, contribution } = reason
  const detectors = [detector, ...(reason.agreeing ?? [])].join(' and ')
  const expected = reason.category === undefined ? formatNumber(reason.expected) : nothing
  if (rule !== undefined)
    return `${feature} ${formatNumber(reason.observed)} is ${reason.observed! > reason.expected! ? 'above' : 'below'} ${expected} (${detector} ${rule})`
  const instead =
    shape === 'frozen'
      ? ' again and again'
      : expected === nothing
        ? ''
        : repeats(reason)
          ? ' after values unlike any before'
          : ` where ${expected} was expected`
  return `${seenOf(reason)}${instead} (${shape === undefined ? detectors : `${detectors}: ${shape}`}, ${formatShare(contribution)})`
}

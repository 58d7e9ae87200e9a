import { stripVTControlCharacters, styleText } from 'node:util'
import type { EpisodeFigures } from '../detection/episode-quality.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { TruthSummary } from '../simulation/injected-truth.ts'
import { briefReason, counted, formatDuration, formatNumber, formatScore, formatShare, formatTime } from './wording.ts'

/** The terminal that a line is for. */
export interface Look {
  /** Width in cells; Infinity where the output is no terminal. No line is wider. */
  readonly columns: number
  readonly colour: boolean
}

export interface LiveStatus {
  readonly eventsPerSecond: number
  readonly alerts: number
  readonly keys: number
  readonly modelVersion: string
  /** Against the injected truth; absent where there is none. */
  readonly truth?: { readonly precision: number; readonly recall: number } | undefined
}

/** `2,014 events/s · 153 alerts · 2,000 keys · model v3 · precision 81 % · recall 74 %`, or as much as there is room for. */
export function statusLine({ eventsPerSecond, alerts, keys, modelVersion, truth }: LiveStatus, look: Look): string {
  const parts: Part[] = [
    { text: `${formatNumber(Math.round(eventsPerSecond))} events/s`, rank: 0, style: 'bold' },
    { text: counted(alerts, 'alert'), rank: 1 },
    { text: counted(keys, 'key'), rank: 4 },
    { text: `model ${modelVersion}`, rank: 5 },
  ]
  if (truth)
    parts.push(
      { text: `precision ${formatShare(truth.precision)}`, rank: 2 },
      { text: `recall ${formatShare(truth.recall)}`, rank: 3 },
    )
  return joined(parts, ' · ', look)
}

export interface Alert {
  readonly verdict: Verdict
  /** What was injected here, '' for nothing; undefined where the truth is unknown. */
  readonly injected?: string | undefined
}

/** What stands above the columns of `alertLine`. */
export function alertHeader({ truth }: { readonly truth: boolean }, look: Look): string {
  const head = alertColumns(
    {
      time: look.columns < wideColumns ? 'TIME' : 'TIME (UTC)',
      score: 'SCORE',
      key: 'KEY',
      truth: truth ? 'INJECTED' : undefined,
    },
    look,
  )
  return painted(roomBeside(head, look) < shortestReason ? head : `${head}  WHY`, 'dim', {
    ...look,
    colour: look.colour,
  })
}

/** `2024-01-03 14:03:22  0.99987  user-0042  ✓ amount-spike  value 950 (usual 42), …`, in columns. */
export function alertLine({ verdict, injected }: Alert, look: Look): string {
  const { timestamp, anomalyScore, userId, eventId, reasons } = verdict
  const head = alertColumns(
    {
      time: formatTime(timestamp),
      score: formatScore(anomalyScore),
      key: printable(userId || eventId),
      truth: injected === undefined ? undefined : injected === '' ? '✗ false alert' : `✓ ${injected}`,
      found: injected !== '',
    },
    look,
  )
  const room = roomBeside(head, look)
  if (room < shortestReason) return head
  // Several detectors may point at the same number.
  const byFeature = new Map(reasons.toReversed().map((reason) => [reason.feature, reason]))
  const [leading = '', ...others] = reasons
    .filter((reason) => byFeature.get(reason.feature) === reason)
    .map((reason) => printable(briefReason(reason)))
  const reason = clipped(leading, room)
  const rest = others.length === 0 ? '' : clipped(`, ${others.join(', ')}`, room - displayWidth(reason))
  return `${head}  ${reason}${painted(rest, 'dim', look)}`.trimEnd()
}

const shortestReason = 20
/** From this width on there is room for the date. */
const wideColumns = 100

interface AlertColumns {
  readonly time: string
  readonly score: string
  readonly key: string
  readonly truth: string | undefined
  readonly found?: boolean
}

function alertColumns({ time, score, key, truth, found }: AlertColumns, look: Look): string {
  const parts: Part[] = [
    {
      text: look.columns < wideColumns ? padded(time.replace(/^.* (?=\d)/, '').slice(0, 8), 8) : padded(time, 19),
      rank: 4,
      style: 'dim',
    },
    { text: padded(score, 9), rank: 1, style: 'bold' },
    { text: padded(key, 10), rank: 0 },
  ]
  const style = found === undefined ? undefined : found ? 'green' : 'yellow'
  if (truth !== undefined) parts.push({ text: padded(truth, 22), rank: 2, ...(style === undefined ? {} : { style }) })
  return joined(parts, '  ', look)
}

function roomBeside(head: string, look: Look): number {
  return look.columns - displayWidth(head) - 2
}

export interface Progress {
  readonly events: number
  /** Absent where nothing is an alert yet. */
  readonly alerts?: number | undefined
  readonly rejected: number
  readonly seconds: number
  /** How much of the input is over, in any unit; absent where its size is unknown. */
  readonly input?: { readonly over: number; readonly total: number } | undefined
}

const shortestBar = 8
const longestBar = 40

/** `━━━━━━━━━━━──────  62 %  1,234,567 events  210,000/s  153 alerts  0:12 left`; without a known size the counts alone. */
export function progressLine({ events, alerts, rejected, seconds, input }: Progress, look: Look): string {
  const parts: Part[] = [
    { text: counted(events, 'event'), rank: 1 },
    { text: `${formatNumber(seconds > 0 ? Math.round(events / seconds) : 0)}/s`, rank: 3 },
  ]
  if (alerts !== undefined) parts.push({ text: counted(alerts, 'alert'), rank: 4 })
  if (rejected > 0) parts.push({ text: `${formatNumber(rejected)} rejected`, rank: 5, style: 'yellow' })
  if (!input || input.total <= 0) return joined([...parts, { text: clock(seconds), rank: 2 }], '  ', look)

  const done = Math.min(1, input.over / input.total)
  const left = done > 0 && seconds > 0 ? clock((seconds / done) * (1 - done)) : '–:––'
  const text = joined(
    [
      { text: `${String(Math.floor(done * 100)).padStart(3)} %`, rank: 0, style: 'bold' },
      ...parts,
      { text: `${left} left`, rank: 2 },
    ],
    '  ',
    look,
  )
  const cells = Math.min(longestBar, look.columns - displayWidth(text) - 2)
  if (cells < shortestBar) return text
  const filled = Math.floor(done * cells)
  return `${painted('━'.repeat(filled), 'cyan', look)}${painted('─'.repeat(cells - filled), 'dim', look)}  ${text}`
}

export interface RunSummary {
  readonly events: number
  readonly alerts: number
  readonly rejected: number
  readonly seconds: number
  /** How many of the rejected by each reason; what is not known is left out. */
  readonly rejectedBy?: ReadonlyMap<string, number> | undefined
  readonly episodes?: EpisodeFigures | undefined
  readonly truth?: TruthSummary | undefined
}

/**
 * The final lines: why events were rejected, if any were; episodes; events, alerts, rejected, events/s; and, where the truth
 * is known, what was found of it.
 */
export function summaryLines(
  { events, alerts, rejected, seconds, rejectedBy, episodes, truth }: RunSummary,
  look: Look,
): string[] {
  const total = `${counted(events, 'event')} in ${seconds.toFixed(1)} s (${formatNumber(seconds > 0 ? Math.round(events / seconds) : 0)}/s), ${counted(alerts, 'alert')}, ${formatNumber(rejected)} rejected`
  const lines = [...reasonLines(rejectedBy), ...(episodes === undefined ? [] : [episodesLine(episodes)]), total]
  if (truth) lines.push('', ...truthTable(truth))
  return lines.map((line) => painted(clipped(line, look.columns), line === total ? 'bold' : undefined, look))
}

/** What was injected beside what was found of it; an episode is found by one alert. */
function truthTable({ kinds, falseAlerts, precision }: TruthSummary): string[] {
  const rows = [
    ['INJECTED', 'EPISODES', 'FOUND', 'MISSED', 'ALERTS'],
    ...kinds.map(({ kind, episodes, found, alerts }) => [
      kind,
      ...[episodes, found, episodes - found, alerts].map(formatNumber),
    ]),
    ['nothing', '', '', '', formatNumber(falseAlerts)],
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return [
    ...rows.map(([first, ...numbers]) =>
      [first!.padEnd(widths[0]!), ...numbers.map((text, column) => text.padStart(widths[column + 1]!))].join('  '),
    ),
    '',
    `precision ${formatShare(precision)}: so many of the alerts point at one`,
  ]
}

/** Of a shorter run, in days, a rate would say little. */
export const shortestRate = 0.5

/** `22 of 32 episodes found, 10 missed; 5 false, 0.8 a day; half of those found within 4 minutes`, or `41 episodes, 2.3 a day, 3 open`. */
export function episodesLine({ episodes, open, days, truth }: EpisodeFigures): string {
  const aDay = (count: number) => (days >= shortestRate ? `, ${formatNumber(count / days)} a day` : '')
  if (truth === undefined)
    return `${counted(episodes, 'episode')}${aDay(episodes)}${open === 0 ? '' : `, ${formatNumber(open)} open`}`
  const { found, missed, falseEpisodes, medianDelayMs } = truth
  const delay = medianDelayMs > 0 ? `within ${formatDuration(medianDelayMs / 1000)}` : 'at once'
  return `${formatNumber(found)} of ${counted(found + missed, 'episode')} found, ${formatNumber(missed)} missed; ${formatNumber(falseEpisodes)} false${aDay(falseEpisodes)}${Number.isNaN(medianDelayMs) ? '' : `; half of those found ${delay}`}`
}

/** `rejected: 12 InvalidTime, 3 MalformedJson`, most first. */
function reasonLines(rejectedBy: ReadonlyMap<string, number> | undefined): string[] {
  if (rejectedBy === undefined || rejectedBy.size === 0) return []
  const reasons = [...rejectedBy].sort(([, one], [, other]) => other - one)
  return [`rejected: ${reasons.map(([reason, count]) => `${formatNumber(count)} ${reason}`).join(', ')}`]
}

type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'cyan'

interface Part {
  readonly text: string
  /** The highest rank goes first where there is no room for all. */
  readonly rank: number
  readonly style?: Style
}

function joined(parts: readonly Part[], separator: string, look: Look): string {
  let kept = parts
  const width = () => kept.reduce((sum, { text }) => sum + displayWidth(text) + separator.length, -separator.length)
  while (kept.length > 1 && width() > look.columns) {
    const last = Math.max(...kept.map(({ rank }) => rank))
    kept = kept.filter(({ rank }) => rank !== last)
  }
  return kept.map(({ text, style }) => painted(clipped(text, look.columns), style, look)).join(separator)
}

function painted(text: string, style: Style | undefined, look: Look): string {
  return look.colour && style && text !== '' ? styleText(style, text, { validateStream: false }) : text
}

/** Without what could move the cursor, change colours or turn the direction of writing: keys and names are foreign text. */
/** Of other people's texts, on one line and without commands to the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cs}\u2028-\u202e\u2066-\u2069]/gu, '\u{fffd}')
}

const combining = /^[\p{M}\u200b-\u200d]$/u
const wide =
  /^[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]$/u

function displayWidth(text: string): number {
  let width = 0
  for (const character of stripVTControlCharacters(text)) width += cellsOf(character)
  return width
}

function cellsOf(character: string): number {
  if (character < '\u0300') return 1
  return combining.test(character) ? 0 : wide.test(character) ? 2 : 1
}

/** Cut to the width, with an ellipsis for what is missing. */
function clipped(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text
  if (columns < 1) return ''
  let kept = ''
  let width = 1
  for (const character of text) {
    width += cellsOf(character)
    if (width > columns) break
    kept += character
  }
  return `${kept}…`
}

function padded(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - displayWidth(text)))
}

/** 0:12, 3:07, 1:02:03 */
function clock(seconds: number): string {
  const whole = Math.round(seconds)
  const two = (n: number) => String(n).padStart(2, '0')
  const minutes = Math.floor(whole / 60)
  return minutes < 60
    ? `${minutes}:${two(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`
}

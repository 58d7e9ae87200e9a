import type { Reason, Suppression } from '../../detection/verdict.ts'
import { describeReason, formatColumn, formatScore, formatTime } from '../../terminal/wording.ts'
import { html, type Insert, type Markup } from './html.ts'
import type { JudgedEvent } from './report-collector.ts'

export interface LastColumn {
  readonly heading: string
  of(event: JudgedEvent): Insert
}

/** Events with their scores and reasons; columns that no event has a value for are left out. */
export function eventTable(events: readonly JudgedEvent[], caption: string, last: LastColumn | undefined): Markup {
  const times = events.some(({ verdict }) => verdict.timestamp !== null)
  const keys = events.some(({ verdict }) => verdict.userId !== '')
  const longKeys = events.some(({ verdict }) => verdict.userId.length > 24)
  const values = events.some(({ value }) => !Number.isNaN(value))
    ? formatColumn(events.map(({ value }) => value))
    : undefined
  return html`<table class="events">
<caption>${caption}${times ? ' Times are UTC.' : ''}</caption>
<thead><tr>
<th scope="col">${times ? 'Time' : 'Event'}</th>
${keys ? html`<th scope="col">Key</th>` : undefined}
<th scope="col">Score</th>
${values ? html`<th scope="col" class="number">Value</th>` : undefined}
<th scope="col">Reasons</th>
${last && html`<th scope="col">${last.heading}</th>`}
</tr></thead>
<tbody>
${events.map((event, row) => {
  const { eventId, timestamp, userId, anomalyScore, reasons } = event.verdict
  return html`<tr><td class="event">${times ? html`<div>${formatTime(timestamp)}</div>` : undefined}<div><bdi>${eventId}</bdi></div></td>${
    keys ? html`<td class="name${longKeys ? ' long' : ''}"><bdi>${userId}</bdi></td>` : undefined
  }<td class="score" data-label="score">${formatScore(anomalyScore)}</td>${
    values ? html`<td class="number" data-label="value">${values[row]}</td>` : undefined
  }<td class="reasons">${inWords(reasons)}</td>${last && html`<td>${last.of(event)}</td>`}</tr>
`
})}</tbody>
</table>`
}

/** The leading reason, and the others on a line of their own. */
function inWords(reasons: readonly Reason[]): Markup {
  const [leading, ...others] = reasons.map((reason) => describeReason(reason).replace(' %)', '\u00a0%)'))
  return html`<div>${leading}</div>${others.length > 0 ? html`<div>${others.join('; ')}</div>` : undefined}`
}

/** Whether an alert was right. */
export const truth: LastColumn = { heading: 'Truth', of: truthOf }

/** Why an anomaly raised no alert. */
export const whyNoAlert: LastColumn = { heading: 'Why no alert', of: whyNoAlertOf }

function truthOf({ label }: JudgedEvent): Insert {
  if (label === undefined) return 'unknown'
  return label ? html`<span class="right-alert">anomaly</span>` : html`<span class="wrong-alert">normal</span>`
}

const suppressions: Record<Suppression, string> = {
  Learning: 'still learning',
  Muted: 'muted by the document',
  Calendar: 'expected by a calendar',
  Refractory: 'same episode as an earlier alert',
  Budget: 'alert budget spent',
}

function whyNoAlertOf({ verdict: { suppressedBy } }: JudgedEvent): string {
  return suppressedBy === undefined ? 'score below the threshold' : suppressions[suppressedBy]
}

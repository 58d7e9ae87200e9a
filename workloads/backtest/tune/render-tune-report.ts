import { counted, formatNumber } from '../../terminal/wording.ts'
import { html, type Markup } from '../report/html.ts'
import { page, section } from '../report/page.ts'
import { topAlerts } from '../report/render-report.ts'
import type { CollectedRun } from '../report/report-collector.ts'
import { scoreChart } from '../report/score-chart.ts'
import type { Finding } from './data-check.ts'
import type { Tuning } from './tune.ts'
import { alternativesTable, budgetsTable, type TextTable } from './tune-table.ts'

export interface TuneReportData {
  readonly pipeline: string
  readonly facts: readonly string[]
  readonly tuning: Tuning
  readonly findings: readonly Finding[]
  /** In words, a line for each field of the document. */
  readonly changes: readonly string[]
  /** What the proposal makes of the sample as it is. */
  readonly run: CollectedRun
  /** The document. */
  readonly proposed: string
  readonly version: string
  readonly seed: number
}

/** The alternatives side by side, and what is proposed, as one HTML file. */
export function renderTuneReport(data: TuneReportData): string {
  const { tuning, findings, changes, run } = data
  return page({
    title: `${data.pipeline}: proposed pipeline`,
    kind: 'Anomaly tune',
    heading: data.pipeline,
    facts: data.facts,
    main: html`${section('Proposal', html`${changes.length === 0 ? html`<p class="note">Nothing that was tried is better beyond chance: the document stays as it is.</p>` : changes.map((line) => html`<p>${line}</p>`)}`)}
${section('What in the data will hurt', findings.length === 0 ? html`<p class="note">Nothing that tune looks for.</p>` : html`${findings.map(finding)}`)}
${section('Detectors', html`<p class="note">${howCompared(tuning)}</p>${table(alternativesTable(tuning))}${unfitLines(tuning).map((line) => html`<p class="note">${line}</p>`)}`)}
${section('Alert budget', html`<p class="note">Of ${tuning.chosen.name}. Alerts a day are what a budget asks for; used is how much of it was.</p>${table(budgetsTable(tuning))}`)}
${section('Anomaly score of the proposal', scoreChart(run))}
${section('Top alerts of the proposal', topAlerts(run))}
${section('Document', html`<pre>${codeLines(data.proposed)}</pre>`)}`,
    footer: [`anomaly ${data.version}`, `seed ${data.seed}`],
  })
}

/** Which of the alternatives are none to choose, and why. */
export function unfitLines({ alternatives }: Tuning): readonly string[] {
  return alternatives.flatMap(({ name, unfit }) => (unfit === undefined ? [] : [`${name}: ${unfit}.`]))
}

/** Two blocks that a budget is shared out over. */
const fewEvents = 20_000

/** How the alternatives were held against one another. */
export function howCompared({ isLabelled, comparedAt, alternatives, events }: Tuning): string {
  const rate = `a budget of ${formatNumber(comparedAt)} per million`
  const small = `; of less than ${formatNumber(fewEvents)} events, the first alerts, which come of learning, take much of the budget`
  const rule = `another takes its place only where it is a tenth better, and better in both parts${events < fewEvents ? small : ''}`
  if (isLabelled) return `Labels held against the alerts of ${rate}, in two parts of the sample; ${rule}.`
  const [{ found, missed }] = alternatives as [Tuning['chosen']]
  if (found + missed === 0)
    return 'There is no history in which anomalies could be put: without labels nothing can be compared.'
  return `${counted(found + missed, 'anomaly', 'anomalies')} put into copies of the sample, held against the alerts of ${rate}; ${rule}.`
}

function finding({ what, seen, so }: Finding): Markup {
  return html`<div class="finding"><p>${what}</p><p>${seen}</p><p class="note">${so}.</p></div>
`
}

function table({ head, rows, chosen }: TextTable): Markup {
  const heading = (text: string) => text[0] + text.slice(1).toLowerCase()
  return html`<div class="wide"><table>
<thead><tr>${head.map((text, column) => html`<th scope="col"${column === 0 ? undefined : html` class="number"`}>${heading(text)}</th>`)}</tr></thead>
<tbody>
${rows.map(
  (
    row,
    at,
  ) => html`<tr${at === chosen ? html` class="chosen"` : undefined}>${row.map((cell, column) => html`<td${column === 0 ? undefined : html` class="number"`}>${cell}</td>`)}</tr>
`,
)}</tbody>
</table></div>`
}

/** The lines one by one: within a text a line feed is a control character. */
function codeLines(text: string): Markup {
  return html`${text.split('\n').map(
    (line) => html`${line}
`,
  )}`
}

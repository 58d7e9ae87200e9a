import type { EpisodeFigures } from '../../detection/episode-quality.ts'
import { shortestRate } from '../../terminal/status-line.ts'
import { counted, formatDuration, formatNumber, formatScore, formatShare, formatTime } from '../../terminal/wording.ts'
import { barList } from './bar-list.ts'
import { eventTable, truth, whyNoAlert } from './event-table.ts'
import { html, type Markup } from './html.ts'
import { page, section } from './page.ts'
import { type CurvePoint, precisionRecallChart } from './precision-recall-chart.ts'
import type { CollectedRun } from './report-collector.ts'
import { scoreChart } from './score-chart.ts'

/** How well the scores rank, given the labels; figures without a meaning are NaN. */
export interface ReportEvaluation {
  readonly rocAuc: number
  readonly averagePrecision: number
  /** From high thresholds to low. */
  readonly curve: readonly CurvePoint[]
}

export interface ReportData {
  readonly pipeline: string
  readonly inputs: readonly string[]
  readonly run: CollectedRun
  readonly keys: number
  /** Events that could not be read. */
  readonly rejected: number
  /** Absent where a fixed threshold decides. */
  readonly budgetPerMillion?: number | undefined
  /** Absent where the input has no labels. */
  readonly evaluation?: ReportEvaluation | undefined
  readonly episodes: EpisodeFigures
  readonly version: string
  readonly pipelineHash: string
  readonly seed: number
}

export function renderReport(data: ReportData): string {
  const { run, evaluation } = data
  return page({
    title: `${data.pipeline}: anomaly report`,
    kind: 'Anomaly backtest',
    heading: data.pipeline,
    facts: facts(data),
    main: html`<dl class="figures">${keyFigures(data).map(keyFigure)}</dl>
${
  evaluation
    ? undefined
    : html`<p class="note">The input has no labels, so ranking quality, precision and recall are unknown. Name a 0/1 field with <code>--label</code> to have them here.</p>`
}
${section('Anomaly score', scoreChart(run))}
<div class="columns">
${evaluation && section('Precision and recall', precisionRecall(run, evaluation.curve))}
${run.alerts > 0 && data.keys > 1 ? section('Alerts by key', barList('Key', run.alertsByKey, run.labelled)) : undefined}
${run.alerts > 0 ? section('Alerts by leading reason', barList('Feature', run.alertsByFeature, run.labelled)) : undefined}
</div>
${section('Top alerts', topAlerts(run))}
${run.misses > 0 ? section('Missed anomalies', topMisses(run)) : undefined}`,
    footer: [`anomaly ${data.version}`, `pipeline ${data.pipelineHash}`, `seed ${data.seed}`],
  })
}

function facts({ inputs, run, keys, rejected }: ReportData): string[] {
  const [first = '', ...others] = inputs
  const span = `${formatTime(run.from)} to ${formatTime(run.to)} UTC (${formatDuration((run.to - run.from) / 1000)})`
  return [
    others.length > 0 ? `${first} and ${formatNumber(others.length)} more` : first,
    Number.isNaN(run.from) ? '' : span,
    counted(run.events, 'event'),
    counted(keys, 'key'),
    rejected > 0 ? `${formatNumber(rejected)} rejected` : '',
  ].filter((fact) => fact !== '')
}

interface KeyFigure {
  readonly name: string
  readonly value: string
  readonly aside: string | undefined
}

function keyFigures({ run, evaluation, budgetPerMillion, episodes }: ReportData): KeyFigure[] {
  const perMillion = run.events > 0 ? (run.alerts / run.events) * 1e6 : Number.NaN
  const rate: KeyFigure = {
    name: 'Alerts per million',
    value: formatNumber(Math.round(perMillion)),
    aside: budgetPerMillion === undefined ? 'by a fixed threshold' : `${formatNumber(budgetPerMillion)} requested`,
  }
  const alerts: KeyFigure = {
    name: 'Alerts',
    value: formatNumber(run.alerts),
    aside: `of ${counted(run.events, 'event')}`,
  }
  if (!evaluation) {
    const strongest = run.topAlerts[0]?.verdict
    return [
      ...episodeFigures(episodes),
      alerts,
      rate,
      { name: 'Strongest alert', value: formatScore(strongest?.anomalyScore ?? Number.NaN), aside: strongest?.userId },
    ]
  }
  const judged = run.hits + run.falseAlerts
  const where = budgetPerMillion === undefined ? 'at the threshold' : 'at the budget'
  return [
    ...episodeFigures(episodes),
    { name: 'ROC AUC', value: quality(evaluation.rocAuc), aside: '0.5 is chance' },
    {
      name: 'Average precision',
      value: quality(evaluation.averagePrecision),
      aside: `${quality(run.anomalies / run.events)} is chance`,
    },
    {
      name: `Precision of alerts ${where}`,
      value: formatShare(run.hits / judged),
      aside: `${formatNumber(run.hits)} of ${counted(judged, 'alert')}`,
    },
    {
      name: `Recall of events ${where}`,
      value: formatShare(run.hits / run.anomalies),
      aside: `${formatNumber(run.hits)} of ${counted(run.anomalies, 'anomaly', 'anomalies')}`,
    },
    rate,
  ]
}

/** What people count, before what is counted event by event. */
function episodeFigures({ episodes, open, days, truth }: EpisodeFigures): KeyFigure[] {
  const aDay = (count: number) => (days >= shortestRate ? `${formatNumber(count / days)} a day` : undefined)
  if (truth === undefined) {
    const rate = [aDay(episodes), open > 0 ? `${formatNumber(open)} open at the end` : undefined]
    return [
      {
        name: 'Episodes',
        value: formatNumber(episodes),
        aside: rate.filter((part) => part !== undefined).join(', ') || undefined,
      },
    ]
  }
  const { found, missed, falseEpisodes, medianDelayMs } = truth
  return [
    {
      name: 'Episodes found',
      value: `${formatNumber(found)} of ${formatNumber(found + missed)}`,
      aside: missed === 0 ? 'none missed' : `${formatNumber(missed)} missed`,
    },
    { name: 'False episodes', value: formatNumber(falseEpisodes), aside: aDay(falseEpisodes) },
    ...(Number.isNaN(medianDelayMs)
      ? []
      : [
          {
            name: 'Time to first alert',
            value: medianDelayMs === 0 ? 'at once' : formatDuration(medianDelayMs / 1000),
            aside: 'half of those found took no longer',
          },
        ]),
  ]
}

function keyFigure({ name, value, aside }: KeyFigure): Markup {
  return html`<div><dt>${name}</dt><dd class="value">${value}</dd>${aside ? html`<dd class="aside">${aside}</dd>` : undefined}</div>
`
}

function quality(measure: number): string {
  return Number.isNaN(measure) ? '–' : measure.toFixed(measure > 0.995 ? 4 : 3)
}

function precisionRecall(run: CollectedRun, curve: readonly CurvePoint[]): Markup {
  return curve.length > 0
    ? precisionRecallChart(curve, run)
    : html`<p class="note">No event is labelled as an anomaly.</p>`
}

/** The strongest alerts of a run. */
export function topAlerts(run: CollectedRun): Markup {
  if (run.alerts === 0) return html`<p class="note">No event was called an anomaly.</p>`
  const { length } = run.topAlerts
  const which = run.alerts > length ? `The ${length} strongest of ${formatNumber(run.alerts)} alerts` : 'All alerts'
  return eventTable(run.topAlerts, `${which}, strongest first.`, run.labelled ? truth : undefined)
}

function topMisses(run: CollectedRun): Markup {
  const { length } = run.topMisses
  const which = run.misses > length ? `The ${length} strongest of ${formatNumber(run.misses)}` : 'All'
  return eventTable(
    run.topMisses,
    `${which} labelled anomalies outside the episodes of alerts, strongest first.`,
    whyNoAlert,
  )
}

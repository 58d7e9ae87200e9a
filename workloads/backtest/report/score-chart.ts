import { formatNumber, formatScore, formatTime } from '../../terminal/wording.ts'
import { plotWidth, rowAxis, type Tick, tenth, timeAxis } from './axis.ts'
import { html, jsonBlock, type Markup } from './html.ts'
import type { Bucket, CollectedRun, JudgedEvent } from './report-collector.ts'

const height = 300
/** The lane under the plot that shows where the labelled anomalies are. */
const lane = { top: height + 6, height: 8 }
/** Doubles end this many decades below 1. */
const mostDecades = 16
const longestKey = 60

/**
 * The strongest score of each bucket, the threshold, the alerts and where the labelled anomalies are, over time or, where
 * the events are not in its order, over rows. The vertical axis counts decades: 0.9, 0.99 and 0.999 are equally far apart.
 */
export function scoreChart(run: CollectedRun): Markup {
  const axis = run.chronological ? timeAxis(run.from, run.to) : rowAxis(run.rows)
  const x = ({ index, verdict }: JudgedEvent) => axis.position(run.chronological ? verdict.timestamp! : index)
  const start = (bucket: Bucket) => axis.position(run.chronological ? bucket.earliest : bucket.first)
  const top = topDecade(run)
  const y = (score: number) => tenth(height * (1 - Math.min(1, decadesOf(score) / top)))
  const dots = (events: readonly JudgedEvent[]) =>
    events.map((event) => `M${x(event)} ${y(event.verdict.anomalyScore)}h0`).join('')
  const buckets = [...run.buckets].sort((one, other) => start(one) - start(other))
  const starts = buckets.map(start)
  const alerts = dots(buckets.flatMap(({ alert }) => alert ?? []))
  const falseAlerts = dots(buckets.flatMap(({ falseAlert }) => falseAlert ?? []))
  // a bucket that spans a gap without events is drawn where its strongest one is
  const reach = (1.5 * plotWidth) / Math.max(buckets.length, 1)
  const outline = buckets.map(({ strongest }, i) => {
    const at = x(strongest)
    const from = tenth(Math.max(starts[i]!, at - reach))
    const to = tenth(Math.min(starts[i + 1] ?? plotWidth, at + reach))
    return `M${from} ${height}V${y(strongest.verdict.anomalyScore)}H${to}V${height}`
  })
  const threshold = buckets.map((bucket, i) => `${starts[i]} ${y(bucket.threshold)}`).join('L')
  const anomalies = buckets.flatMap((bucket) =>
    bucket.anomalies > 0 ? `M${x(bucket.strongest)} 0v${lane.height}` : [],
  )
  const bottom = run.labelled ? lane.top + lane.height : height

  return html`<figure id="score-chart">
<figcaption class="legend">
<span><svg class="key" viewBox="0 0 14 10" aria-hidden="true"><path class="area" d="M0 10V5L5 2 9 6 14 3V10Z"/></svg>strongest score</span>
<span><svg class="key" viewBox="0 0 14 10" aria-hidden="true"><path class="threshold" d="M0 5H14"/></svg>threshold</span>
${
  run.labelled
    ? html`<span><svg class="key" viewBox="0 0 10 10" aria-hidden="true"><path class="alert" d="M5 5h0"/></svg>alert on an anomaly</span>
<span><svg class="key" viewBox="0 0 10 10" aria-hidden="true"><path class="false-alert" d="M5 5h0"/><path class="hole" d="M5 5h0"/></svg>false alert</span>
<span><svg class="key" viewBox="0 0 10 10" aria-hidden="true"><path class="anomaly" d="M2 1v8M5 1v8M8 1v8"/></svg>labelled anomaly</span>`
    : html`<span><svg class="key" viewBox="0 0 10 10" aria-hidden="true"><path class="alert" d="M5 5h0"/></svg>alert</span>`
}
</figcaption>
<div class="plot scores">
<svg role="img" aria-labelledby="score-title score-desc" width="100%" height="${bottom + 28}">
<title id="score-title">Anomaly score over ${run.chronological ? 'time' : 'the rows of the input'}</title>
<desc id="score-desc">${describe(run)}</desc>
<text class="left" x="-10" y="-14">score</text><text class="right" x="100%" dx="10" y="-14">1 event in</text>
${decadeTicks(top).map(({ at, label, rarity }) => {
  const level = tenth(height * (1 - at / top))
  return html`<line class="grid" x2="100%" y1="${level}" y2="${level}"/><text class="left" x="-10" y="${level}" dy=".32em">${label}</text>${
    rarity && html`<text class="right" x="100%" dx="10" y="${level}" dy=".32em">${rarity}</text>`
  }
`
})}${horizontalTicks(axis.ticks, bottom)}
<svg viewBox="0 0 ${plotWidth} ${height}" width="100%" height="${height}" preserveAspectRatio="none">
<path class="area" d="${outline.join('')}"/>
<path class="threshold" d="${threshold && `M${threshold}H${plotWidth}`}"/>
<path class="false-alert" d="${falseAlerts}"/><path class="hole" d="${falseAlerts}"/>
<path class="alert" d="${alerts}"/>
</svg>
${
  run.labelled
    ? html`<svg viewBox="0 0 ${plotWidth} ${lane.height}" y="${lane.top}" width="100%" height="${lane.height}" preserveAspectRatio="none">
<path class="anomaly" d="${anomalies.join('')}"/>
</svg>`
    : undefined
}
<line id="cursor" class="cursor" y2="${height}" visibility="hidden"/>
</svg>
<output id="readout" hidden></output>
</div>
<p class="axis-title">${run.chronological ? 'time (UTC)' : 'row of the input'}</p>
${jsonBlock('buckets', {
  height,
  points: buckets.map(({ strongest, alerts, anomalies }) => [
    x(strongest),
    y(strongest.verdict.anomalyScore),
    run.chronological ? formatTime(strongest.verdict.timestamp) : `row ${formatNumber(strongest.index + 1)}`,
    formatScore(strongest.verdict.anomalyScore),
    strongest.verdict.userId.slice(0, longestKey),
    alerts,
    anomalies,
  ]),
})}
</figure>`
}

export function horizontalTicks(ticks: readonly Tick[], bottom: number): readonly Markup[] {
  return ticks.map(
    ({ at, label }, i) =>
      html`<g class="${i % 2 ? 'second' : 'first'}"><line class="tick" x1="${at / 10}%" x2="${at / 10}%" y1="${bottom + 2}" y2="${bottom + 7}"/><text class="below" x="${at / 10}%" y="${bottom + 21}">${label}</text></g>`,
  )
}

function describe(run: CollectedRun): string {
  const strongest = run.topAlerts[0]
  return [
    `${formatNumber(run.alerts)} alerts among ${formatNumber(run.events)} events.`,
    run.labelled ? `${formatNumber(run.hits)} of the alerts are on labelled anomalies.` : '',
    strongest ? `The strongest alert scores ${formatScore(strongest.verdict.anomalyScore)}.` : '',
  ].join(' ')
}

/** How many decades the score is from 1: 3 for 0.999. */
function decadesOf(score: number): number {
  return Math.min(mostDecades, Math.max(0, -Math.log10(1 - score)))
}

/** Room for the highest score; those from before the pipeline had learnt anything may stick out at the top. */
function topDecade(run: CollectedRun): number {
  let most = 4
  for (const { strongest, threshold } of run.buckets) {
    const { anomalyScore, suppressedBy } = strongest.verdict
    const highest = suppressedBy === 'Learning' ? threshold : Math.max(anomalyScore, threshold)
    most = Math.max(most, decadesOf(highest) + 0.2)
  }
  return most
}

/** What each decade is called: the score and how rare it is. */
function decadeTicks(top: number): readonly { at: number; label: string; rarity: string }[] {
  const step = top > 8 ? 2 : 1
  return Array.from({ length: Math.floor(top / step) + 1 }, (_, i) => {
    const at = i * step
    if (at === 0) return { at, label: '0', rarity: '' }
    return at <= 8
      ? { at, label: (1 - 10 ** -at).toFixed(at), rarity: formatNumber(10 ** at) }
      : { at, label: `1 − 10${superscript(-at)}`, rarity: `10${superscript(at)}` }
  })
}

function superscript(n: number): string {
  return String(n).replace(/./g, (digit) => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(digit)]!)
}

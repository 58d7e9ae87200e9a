import { formatShare } from '../../terminal/wording.ts'
import { plotWidth, tenth } from './axis.ts'
import { html, type Markup } from './html.ts'
import type { CollectedRun } from './report-collector.ts'
import { horizontalTicks } from './score-chart.ts'

export interface CurvePoint {
  readonly recall: number
  readonly precision: number
}

const height = 260
const quarters = [0, 0.25, 0.5, 0.75, 1]

/**
 * Precision over recall as average precision sums it: each step as high as the precision that its recall was reached at,
 * so that the area below is the average precision. The curve goes from high thresholds to low.
 */
export function precisionRecallChart(curve: readonly CurvePoint[], run: CollectedRun): Markup {
  const precision = run.hits / (run.hits + run.falseAlerts)
  const recall = run.hits / run.anomalies
  const prevalence = run.anomalies / run.events
  const x = (share: number) => tenth(plotWidth * share)
  const y = (share: number) => tenth(height * (1 - share))
  const stairs = curve.map((point) => `V${y(point.precision)}H${x(point.recall)}`).join('')
  const point = Number.isFinite(precision) && Number.isFinite(recall)
  return html`<figure>
<div class="plot shares">
<svg role="img" aria-labelledby="pr-title pr-desc" width="100%" height="${height + 28}">
<title id="pr-title">Precision over recall</title>
<desc id="pr-desc">${
    point
      ? `The alerts have precision ${formatShare(precision)} and recall ${formatShare(recall)}.`
      : 'There were no alerts.'
  } Alerts at random would have precision ${formatShare(prevalence)}.</desc>
<text x="-52" y="-14">precision</text>
${quarters.map(
  (share) =>
    html`<line class="grid" x2="100%" y1="${y(share)}" y2="${y(share)}"/><text class="left" x="-10" y="${y(share)}" dy=".32em">${formatShare(share)}</text>
`,
)}${horizontalTicks(
  quarters.map((share) => ({ at: x(share), label: formatShare(share) })),
  height,
)}
<svg viewBox="0 0 ${plotWidth} ${height}" width="100%" height="${height}" preserveAspectRatio="none">
<path class="area" d="M0 ${height}${stairs}V${height}Z"/>
<path class="curve" d="M0 ${y(curve[0]?.precision ?? 0)}${stairs}"/>
<path class="threshold" d="M0 ${y(prevalence)}H${plotWidth}"/>
${point ? html`<path class="alert" d="M${x(recall)} ${y(precision)}h0"/>` : undefined}
</svg>
</svg>
</div>
<p class="axis-title">recall</p>
<figcaption class="legend">
${
  point
    ? html`<span><svg class="key" viewBox="0 0 10 10" aria-hidden="true"><path class="alert" d="M5 5h0"/></svg>the alerts of this run: ${formatShare(precision)} precision, ${formatShare(recall)} recall</span>`
    : undefined
}
<span><svg class="key" viewBox="0 0 14 10" aria-hidden="true"><path class="threshold" d="M0 5H14"/></svg>alerts at random: ${formatShare(prevalence)}</span>
</figcaption>
</figure>`
}

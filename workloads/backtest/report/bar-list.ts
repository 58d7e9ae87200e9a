import { formatNumber } from '../../terminal/wording.ts'
import { html, type Markup } from './html.ts'
import type { AlertCount } from './report-collector.ts'

const mostBars = 10

/** Counts of alerts by name, most first, as bars; with labels each is cut into right and false ones. */
export function barList(heading: string, counts: readonly AlertCount[], labelled: boolean): Markup {
  const shown = counts.slice(0, mostBars)
  const most = shown[0]?.alerts ?? 1
  const long = shown.some(({ name }) => name.length > 22) ? ' long' : ''
  const bar = (kind: string, count: number) =>
    count > 0 ? html`<i class="${kind}" style="width:${((100 * count) / most).toFixed(1)}%"></i>` : undefined
  const bars = ({ alerts, hits, falseAlerts }: AlertCount) =>
    labelled ? [bar('hits', hits), bar('false', falseAlerts)] : bar('hits', alerts)
  const legend = html`<span class="legend"><span><i class="hits"></i>on an anomaly</span><span><i class="false"></i>false</span></span>`
  return html`<table class="bars">
<caption>${counts.length > shown.length ? `The ${shown.length} of ${formatNumber(counts.length)} with most alerts. ` : ''}${labelled ? legend : undefined}</caption>
<thead><tr><th scope="col">${heading}</th><th scope="col" colspan="2">Alerts</th></tr></thead>
<tbody>
${shown.map((count) => {
  const { name, alerts } = count
  return html`<tr><td class="name${long}"><bdi>${name || '(none)'}</bdi></td><td class="number">${formatNumber(alerts)}</td><td><div class="bar">${bars(count)}</div></td></tr>
`
})}</tbody>
</table>`
}

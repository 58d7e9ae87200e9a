import { createHash } from 'node:crypto'
import { expect } from 'chai'
import type { Verdict } from '../../detection/verdict.ts'
import { type ReportData, renderReport } from './render-report.ts'
import { createReportCollector } from './report-collector.ts'

interface Run {
  readonly rows?: number
  readonly labels?: boolean
  readonly text?: string
  readonly change?: (verdict: Verdict, index: number) => Verdict
  /** Where in the input each event stands. */
  readonly place?: (index: number) => number
}

/** Every 50th row alerts, every 100th is labelled as an anomaly; 25 is a miss. */
function reportOf(run: Run = {}, change: Partial<ReportData> = {}): string {
  const { rows = 400, labels = true, text = 'user', change: changed = (verdict) => verdict, place = (i) => i } = run
  const collector = createReportCollector()
  for (let index = 0; index < rows; index++) {
    const alert = index % 50 === 0
    const verdict: Verdict = {
      eventId: `${text}-${index}`,
      userId: `${text}-${index % 3}`,
      timestamp: Date.UTC(2024, 2, 1) + index * 60_000,
      isAnomaly: alert,
      anomalyScore: alert ? 1 - 10 ** (-3 - index / 100) : (index % 97) / 100,
      threshold: 0.999,
      confidence: 1,
      modelVersion: 'v3',
      reasons: [{ detector: 'profile', feature: text, observed: 950, expected: 42, contribution: 0.62 }],
      scores: {},
    }
    const label = labels ? index % 100 === 0 || index === 25 : undefined
    collector.add({ index: place(index), value: index, label, verdict: changed(verdict, index) })
  }
  return renderReport({
    pipeline: 'payments',
    inputs: ['payments.jsonl'],
    run: collector.finish(),
    keys: 3,
    rejected: 2,
    budgetPerMillion: 1000,
    evaluation: labels ? { rocAuc: 0.9876, averagePrecision: 0.5, curve } : undefined,
    episodes: labels ? { ...episodes, truth } : episodes,
    version: '0.1.0',
    pipelineHash: 'sha256:4f1c',
    seed: 7,
    ...change,
  })
}

const episodes = { episodes: 7, open: 2, days: 2 }
const truth = { found: 3, missed: 1, falseEpisodes: 4, medianDelayMs: 90_000 }

const curve = [
  { recall: 0.25, precision: 1 },
  { recall: 1, precision: 0.4 },
]

const voidElements = new Set(['meta', 'hr', 'br', 'line', 'path'])

/** Throws where an element is not closed in order; returns the names of all elements. */
function elementsOf(page: string): Set<string> {
  const open: string[] = []
  const names = new Set<string>()
  const text = page.replace(/<(script|style)([^>]*)>.*?<\/\1>/gs, '<$1$2></$1>')
  for (const [, end, name, rest] of text.matchAll(/<(\/?)([a-z][a-z0-9]*)((?:"[^"]*"|[^">])*)>/gi)) {
    names.add(name!)
    if (end) expect(open.pop(), `an element before </${name}>`).to.equal(name)
    else if (!voidElements.has(name!) && !rest!.endsWith('/')) open.push(name!)
  }
  expect(open).to.deep.equal([])
  return names
}

function textOf(page: string): string {
  return page.replace(/<(script|style)[^>]*>.*?<\/\1>/gs, '').replace(/<[^>]*>/g, '\n')
}

describe('renderReport()', () => {
  it('states the key figures', () => {
    const text = textOf(reportOf()).split('\n')
    const valueAfter = (name: string) => text.slice(text.indexOf(name) + 1).filter((line) => line.trim() !== '')[0]
    expect(valueAfter('ROC AUC')).to.equal('0.988')
    expect(valueAfter('Average precision')).to.equal('0.500')
    expect(valueAfter('Episodes found')).to.equal('3 of 4')
    expect(valueAfter('False episodes')).to.equal('4')
    expect(valueAfter('Time to first alert')).to.equal('90 seconds')
    expect(text).to.include('1 missed').and.to.include('2 a day')
    expect(valueAfter('Precision of alerts at the budget')).to.equal('50 %')
    expect(valueAfter('Recall of events at the budget')).to.equal('80 %')
    expect(valueAfter('Alerts per million')).to.equal('20,000')
    expect(text).to.include('1,000 requested').and.to.include('4 of 8 alerts').and.to.include('4 of 5 anomalies')
  })

  it('names the pipeline, the input, its span, and what the run can be repeated with', () => {
    const text = textOf(reportOf())
    for (const part of [
      'payments',
      'payments.jsonl',
      '400 events',
      '3 keys',
      '2 rejected',
      'seed 7',
      'sha256:4f1c',
      '0.1.0',
    ])
      expect(text).to.contain(part)
    expect(text).to.contain('2024-03-01 00:00:00 to 2024-03-01 06:39:00 UTC (6.7 hours)')
  })

  it('lists alerts strongest first with their reasons and the truth, and the anomalies missed', () => {
    const page = reportOf()
    const [alerts, misses] = page.split('Missed anomalies') as [string, string]
    const ids = [...alerts.matchAll(/<bdi>user-(\d{2,})<\/bdi>/g)].map(([, id]) => Number(id))
    expect(ids).to.deep.equal([350, 300, 250, 200, 150, 100, 50])
    expect(alerts).to.contain('user 950 where 42 was expected (profile, 62\u00a0%)')
    expect(alerts.match(/class="right-alert"/g)).to.have.lengthOf(4)
    expect(alerts.match(/class="wrong-alert"/g)).to.have.lengthOf(4)
    expect(misses).to.contain('user-25<').and.to.contain('score below the threshold')
  })

  it('leaves quality out without labels, and says so', () => {
    const text = textOf(reportOf({ labels: false }))
    expect(text).to.contain('The input has no labels').and.to.contain('--label')
    expect(text).to.contain('Episodes').and.to.contain('3.5 a day, 2 open at the end')
    for (const part of ['Episodes found', 'ROC AUC', 'Average precision', 'Recall', 'Truth', 'false alert', 'Missed'])
      expect(text).to.not.contain(part)
  })

  it('calls a fixed threshold one', () => {
    const text = textOf(reportOf({}, { budgetPerMillion: undefined }))
    expect(text).to.contain('Precision of alerts at the threshold').and.to.contain('by a fixed threshold')
  })

  it('shows every alert as a mark in the chart, right and false ones apart', () => {
    const page = reportOf()
    const rowsMarked = (kind: string) => {
      const [, marks] = new RegExp(`<path class="${kind}" d="((?:M[^"]*h0){2,})"`).exec(page)!
      return [...marks!.matchAll(/M([\d.]+)/g)].map(([, x]) => Math.round((Number(x) * 399) / 1000))
    }
    expect(rowsMarked('alert')).to.deep.equal([0, 100, 200, 300])
    expect(rowsMarked('false-alert')).to.deep.equal([50, 150, 250, 350])
  })

  it('keeps foreign text from being markup, everywhere', () => {
    const text = `</script></style></title>"'><img src=x onerror=alert(1)>&lt;\u0000\u202e`
    const clean = elementsOf(reportOf())
    const page = reportOf({ text }, { pipeline: text, inputs: [text], version: text, pipelineHash: text })
    expect(elementsOf(page)).to.deep.equal(clean)
    expect(page).to.not.match(/<img|(?!\n)\p{Cc}|\u202e/u)
    expect(page.match(/<script/g)).to.have.lengthOf(2)
  })

  it('loads nothing and runs no script but its own', () => {
    const page = reportOf()
    expect(page).to.not.match(/\b(src|href|srcset)=|url\(|@import|https?:/)
    const script = /<script>(.*?)<\/script>/s.exec(page)![1]!
    const hash = createHash('sha256').update(script).digest('base64')
    expect(page).to.contain(`script-src &#39;sha256-${hash}&#39;`)
    expect(page).to.contain('default-src &#39;none&#39;')
  })

  it('gives every chart a title and a description, and every table a caption', () => {
    const page = reportOf()
    for (const [chart] of page.matchAll(/<svg role="img".*?<\/desc>/gs)) {
      const [titleId, descId] = /aria-labelledby="(\S+) (\S+)"/.exec(chart)!.slice(1)
      expect(chart).to.contain(`<title id="${titleId}">`).and.to.contain(`<desc id="${descId}">`)
    }
    expect(page.match(/<svg role="img"/g)).to.have.lengthOf(2)
    expect(page.match(/<caption/g)!.length).to.equal(page.match(/<table/g)!.length)
  })

  it('counts rows where events have no time', () => {
    const page = reportOf({ change: (verdict) => ({ ...verdict, timestamp: null }) })
    expect(textOf(page)).to.contain('row of the input').and.to.not.contain('UTC')
  })

  it('keeps every mark inside the chart where rows in between could not be read', () => {
    const change = (verdict: Verdict) => ({ ...verdict, timestamp: null })
    const page = reportOf({ rows: 200, place: (index) => 3 * index + 40, change })
    const [, points] = /id="buckets">(.*?)<\/script>/.exec(page)!
    const at = (JSON.parse(points!) as { points: [x: number, y: number, when: string][] }).points
    expect(at.at(-1)).to.include.members([1000, 'row 638'])
    for (const [x] of at) expect(x).to.be.within(0, 1000)
  })

  it('has room for scores that round to 1, and for none at all', () => {
    const page = reportOf({ change: (verdict, i) => ({ ...verdict, anomalyScore: i === 7 ? 1 : i === 8 ? 0 : 0.5 }) })
    expect(page).to.not.match(/NaN|Infinity|undefined/)
    expect(page).to.contain('1 − 10⁻¹⁶')
  })

  it('lets no score from before anything was learnt stretch the scale', () => {
    const change = (verdict: Verdict, i: number): Verdict =>
      i === 7 ? { ...verdict, anomalyScore: 1, suppressedBy: 'Learning' } : { ...verdict, anomalyScore: 0.5 }
    const page = reportOf({ change })
    expect(page).to.contain('0.9999<').and.to.not.contain('0.999999')
    expect(page).to.not.match(/ d="[^"]*V-/)
  })

  it('has a page for no events, for one, and for labels without an anomaly', () => {
    for (const page of [
      reportOf({ rows: 0 }, { evaluation: undefined, keys: 0 }),
      reportOf({ rows: 1 }),
      reportOf({ rows: 1, labels: false }),
      reportOf({ rows: 0 }, { evaluation: { rocAuc: Number.NaN, averagePrecision: Number.NaN, curve: [] } }),
    ]) {
      elementsOf(page)
      expect(page).to.not.match(/NaN|Infinity|undefined/)
    }
  })

  it('stays small however long the run and the names are', () => {
    const change = (verdict: Verdict) => ({ ...verdict, isAnomaly: true })
    const page = reportOf({ rows: 20_000, text: 'k'.repeat(240), change })
    expect(Buffer.byteLength(page)).to.be.below(500_000)
  })
})

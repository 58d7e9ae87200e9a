import { expect } from 'chai'
import { createReportCollector } from '../report/report-collector.ts'
import { renderTuneReport, type TuneReportData } from './render-tune-report.ts'

const tried = (name: string, found: number, unfit?: string) => {
  const part = { found, missed: 20 - found, wrong: 3, days: 2, quality: found / 20 }
  return {
    name,
    ...part,
    events: 100,
    alerts: 5,
    got: 0.5,
    wrongPerDay: 1.5,
    parts: [part, part],
    stateBytes: 5e6,
    unfit,
  }
}

describe('renderTuneReport()', () => {
  const alternatives = [tried('profile', 4), tried('discord', 15), tried('discord + profile', 18, 'it is too large')]
  const tuning = {
    alternatives,
    chosen: alternatives[1],
    budgets: [{ ...tried('discord', 9), perMillion: 300, alertsPerDay: 30 }],
    isLabelled: false,
    comparedAt: 1500,
    events: 100,
    eventsPerDay: 1e5,
    proposal: { spec: { detection: { alertBudget: { perMillion: 300 } } } },
  }
  const page = renderTuneReport({
    pipeline: '<payments>',
    facts: ['100 events'],
    tuning,
    findings: [{ what: 'Gaps in time', seen: '1 in "<b>"', so: 'It may alert' }],
    changes: ['spec.detection.detectors: []'],
    run: createReportCollector().finish(),
    proposed: 'a: 1\nb: "<i>"\n',
    version: '1',
    seed: 1,
  } as never as TuneReportData)

  it('has the alternatives and budgets side by side, what is proposed marked', () => {
    expect(page).to.match(/<tr class="chosen"><td>discord<\/td><td class="number">15 of 20<\/td>/)
    expect(page).to.match(/<tr><td>profile<\/td><td class="number">4 of 20<\/td>/)
    expect(page).to.match(/<tr class="chosen"><td>300<\/td><td class="number">30<\/td><td class="number">50 %<\/td>/)
    expect(page).to.include('discord + profile: it is too large.')
  })

  it('keeps foreign text from being markup, and the lines of the document', () => {
    expect(page).to.include('1 in &quot;&lt;b&gt;&quot;')
    expect(page).to.include('<pre>a: 1\nb: &quot;&lt;i&gt;&quot;\n')
  })
})

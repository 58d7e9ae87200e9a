import { execFile } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { parse, stringify } from 'yaml'
import { removeFolder, temporaryFolder } from '../../../tools/servers/server.ts'

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: Readonly<Record<string, string>>
}
interface Case {
  readonly alert: string
  /** Of the pipeline, by its series without labels of namespace and pipeline; values as promtool writes them. */
  readonly ofPipeline?: Readonly<Record<string, string>>
  readonly ofOperator?: Readonly<Record<string, string>>
  /** When it fires, and not at half that time. */
  readonly at: string
}

const root = join(import.meta.dirname, '../../..')
const file = join(root, 'charts/anomaly-operator/files/monitoring/alerts.yaml')
const { groups } = parse(readFileSync(file, 'utf8')) as { groups: { rules: Rule[] }[] }
const rules = groups.flatMap(({ rules }) => rules)
const runbooks = join(root, 'docs/runbooks')
const promtool = (args: readonly string[]): Promise<string> =>
  promisify(execFile)('promtool', args).then(
    ({ stdout }) => stdout,
    (error) => {
      throw new Error(`${error.stdout}${error.stderr}`)
    },
  )

const verdicts = 'anomaly_detection_total{verdict="normal"}'
const rejected = 'anomaly_events_rejected_total{reason="MissingKey"}'
const bucket = (le: string) => `anomaly_detection_time_seconds_bucket{le="${le}"}`
const ready = (status: string) => `anomaly_pipeline_condition{type="Ready",status="${status}"}`
const toldOf = 'anomaly_notifications_sent_total{receiver="chat"}'
const waiting = 'anomaly_notifications_waiting{receiver="chat"}'
const givenUp = 'anomaly_notifications_dead_lettered_total{receiver="chat"}'
const degraded = 'anomaly_pipeline_condition{type="Degraded",status="True"}'
const reconciles = (result: string) => `anomaly_operator_reconcile_total{result="${result}"}`

/** A pipeline and an operator that are well, for a day. */
const wellPipeline = {
  [verdicts]: '0+6000x1440',
  [rejected]: '0+6x1440',
  [bucket('0.1')]: '0+6000x1440',
  [bucket('0.15')]: '0+6000x1440',
  [bucket('0.25')]: '0+6000x1440',
  [bucket('+Inf')]: '0+6000x1440',
  'anomaly_state_lookups_total{outcome="hit"}': '0+90x1440',
  'anomaly_state_lookups_total{outcome="miss"}': '0+10x1440',
  [ready('True')]: '1x1440',
  [ready('False')]: '0x1440',
  [degraded]: '0x1440',
  [toldOf]: '0+1x1440',
  [waiting]: '0 1 0 0 0x1440',
  [givenUp]: '0x1440',
  anomaly_pipeline_lag: '200x1440',
  anomaly_pipeline_alerts_per_million: '1200x1440',
  anomaly_pipeline_alert_budget_per_million: '1000x1440',
  anomaly_pipeline_model_age_seconds: '0+60x1440',
  'anomaly_record_lag_seconds{what="verdict"}': '0.2x1440',
  'anomaly_record_lag_seconds{what="episode"}': '0x1440',
}
const wellOperator = {
  anomaly_operator_leader: '1x1440',
  anomaly_operator_queue_depth: '3x1440',
  [reconciles('success')]: '0+60x1440',
  [reconciles('error')]: '0+1x1440',
}

const cases: readonly Case[] = [
  { alert: 'AnomalyPipelineNotReady', ofPipeline: { [ready('False')]: '1x60' }, at: '11m' },
  { alert: 'AnomalyPipelineDegraded', ofPipeline: { [degraded]: '1x60' }, at: '11m' },
  { alert: 'AnomalyLag', ofPipeline: { anomaly_pipeline_lag: '9000+100x60' }, at: '20m' },
  { alert: 'AnomalySlow', ofPipeline: { [bucket('0.1')]: '0+5000x60', [bucket('0.15')]: '0+5500x60' }, at: '10m' },
  { alert: 'AnomalyNoEvents', ofPipeline: { [verdicts]: '0+6000x20 120000x60', [rejected]: '0x60' }, at: '42m' },
  { alert: 'AnomalyRejections', ofPipeline: { [rejected]: '0+100x60' }, at: '10m' },
  { alert: 'AnomalyRejectionsRising', ofPipeline: { [rejected]: '0+1x90 90+10x60' }, at: '100m' },
  {
    alert: 'AnomalyStateMisses',
    ofPipeline: { 'anomaly_state_lookups_total{outcome="hit"}': '0+5x60' },
    at: '20m',
  },
  { alert: 'AnomalyBudgetExceeded', ofPipeline: { anomaly_pipeline_alerts_per_million: '1400x60' }, at: '31m' },
  { alert: 'AnomalyRecordLag', ofPipeline: { 'anomaly_record_lag_seconds{what="verdict"}': '0+60x60' }, at: '12m' },
  { alert: 'AnomalyNotificationsFailing', ofPipeline: { [givenUp]: '0+1x60' }, at: '9m' },
  { alert: 'AnomalyNotificationsFailing', ofPipeline: { [toldOf]: '5x60', [waiting]: '2x60' }, at: '9m' },
  { alert: 'AnomalyModelStale', ofPipeline: { anomaly_pipeline_model_age_seconds: '85000+60x200' }, at: '90m' },
  { alert: 'AnomalyOperatorAbsent', ofOperator: { anomaly_operator_leader: '0x60' }, at: '6m' },
  {
    alert: 'AnomalyOperatorFailing',
    ofOperator: { [reconciles('success')]: '0+1x60', [reconciles('error')]: '0+9x60' },
    at: '12m',
  },
  { alert: 'AnomalyOperatorBehind', ofOperator: { anomaly_operator_queue_depth: '60x60' }, at: '11m' },
]

const labelled = (series: string, labels: string): string =>
  series.includes('{') ? series.replace('{', `{${labels},`) : `${series}{${labels}}`

/** A test of promtool: which alerts fire at which time. */
function testOf(
  { ofPipeline, ofOperator }: Partial<Case>,
  expected: readonly { readonly at: string; readonly alerts: readonly Rule[] }[],
) {
  const series = [
    ...Object.entries({ ...wellPipeline, ...ofPipeline }).map(
      ([name, values]) => [labelled(name, 'namespace="shop",pipeline="payments"'), values] as const,
    ),
    ...Object.entries({ ...wellOperator, ...ofOperator }),
  ]
  return {
    interval: '1m',
    input_series: series.map(([name, values]) => ({ series: name, values })),
    promql_expr_test: expected.map(({ at, alerts }) => ({
      expr: 'count by (alertname, severity) (ALERTS{alertstate="firing"})',
      eval_time: at,
      exp_samples: alerts.map(({ alert, labels: { severity } }) => ({
        labels: `{alertname="${alert}",severity="${severity}"}`,
        value: 1,
      })),
    })),
  }
}

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('The alerts', () => {
  let folder: string
  before(() => {
    folder = temporaryFolder('alerts')
  })
  after(() => removeFolder(folder))
  const promtoolTests = async (tests: readonly object[]): Promise<string> => {
    const path = join(folder, 'tests.yaml')
    writeFileSync(path, stringify({ rule_files: [file], evaluation_interval: '1m', tests }))
    return await promtool(['test', 'rules', path])
  }
  const ruleOf = (name: string): Rule => rules.find(({ alert }) => alert === name)!

  it('are rules that Prometheus reads', async () => {
    expect(await promtool(['check', 'rules', file])).to.include(`${rules.length} rules found`)
  })

  it('have a page each that says what to do', () => {
    const index = readFileSync(join(runbooks, 'README.md'), 'utf8')
    for (const { alert, annotations } of rules) {
      const page = annotations.runbook_url!.replace(/^RUNBOOKS\//, '')
      expect(existsSync(join(runbooks, page)), alert).to.equal(true)
      expect(readFileSync(join(runbooks, page), 'utf8'), page).to.include(`\`${alert}\``)
      expect(index).to.include(`\`${alert}\``).and.to.include(`(${page})`)
      expect(annotations, alert).to.have.all.keys('summary', 'description', 'runbook_url')
    }
  })

  it('have a case each', () => {
    expect([...new Set(cases.map(({ alert }) => alert))]).to.have.members(rules.map(({ alert }) => alert))
  })

  it('are silent for a pipeline that is well', async () => {
    const expected = ['10m', '2h', '23h'].map((at) => ({ at, alerts: [] }))
    expect(await promtoolTests([testOf({}, expected)])).to.include('SUCCESS')
  })

  for (const { alert, at, ...series } of cases) {
    it(`${alert} fires alone where it should`, async () => {
      const early = `${Math.floor(Number.parseInt(at, 10) / 2)}m`
      const expected = [
        { at: early, alerts: [] },
        { at, alerts: [ruleOf(alert)] },
      ]
      expect(await promtoolTests([testOf(series, expected)])).to.include('SUCCESS')
    })
  }
})

/** The dashboards of Grafana that the chart carries, by their file's name. RUNBOOKS stands for the address of docs/runbooks. */

interface Query {
  readonly expr: string
  readonly legend: string
}

interface Panel {
  readonly title: string
  readonly description: string
  /** As Grafana names units. */
  readonly unit: string
  readonly queries: readonly Query[]
  /** Above it the alert of the runbook fires. */
  readonly threshold?: number
  /** A page in docs/runbooks, without `.md`. */
  readonly runbook?: string
}

const ofPipeline = '{namespace="$namespace", pipeline="$pipeline"}'
const rate = (metric: string, labels = ''): string =>
  `sum(rate(${metric}{namespace="$namespace", pipeline="$pipeline"${labels}}[$__rate_interval]))`
const latency = (quantile: number): string =>
  `histogram_quantile(${quantile}, sum by (le) (rate(anomaly_detection_time_seconds_bucket${ofPipeline}[$__rate_interval])))`

const pipelinePanels: readonly Panel[] = [
  {
    title: 'Events',
    description: 'Events that got a verdict, and those that could not be read.',
    unit: 'eps',
    queries: [
      { expr: rate('anomaly_detection_total'), legend: 'verdicts' },
      { expr: rate('anomaly_events_rejected_total'), legend: 'dead letters' },
    ],
    runbook: 'no-events',
  },
  {
    title: 'Alerts per million',
    description: 'Alerts among a million events of the last hour, beside the budget.',
    unit: 'short',
    queries: [
      { expr: `max(anomaly_pipeline_alerts_per_million${ofPipeline})`, legend: 'alerts' },
      { expr: `max(anomaly_pipeline_alert_budget_per_million${ofPipeline})`, legend: 'budget' },
    ],
    runbook: 'budget-exceeded',
  },
  {
    title: 'Lag',
    description: 'Events in the topic that have no verdict yet.',
    unit: 'short',
    queries: [{ expr: `max(anomaly_pipeline_lag${ofPipeline})`, legend: 'lag' }],
    threshold: 10_000,
    runbook: 'lag',
  },
  {
    title: 'Time to verdict',
    description: 'From the event read to its verdict acknowledged.',
    unit: 's',
    queries: [0.5, 0.95, 0.99].map((quantile) => ({ expr: latency(quantile), legend: `p${quantile * 100}` })),
    threshold: 0.15,
    runbook: 'slow',
  },
  {
    title: 'Dead letters by reason',
    description: 'Events that could not be read.',
    unit: 'eps',
    queries: [
      {
        expr: `sum by (reason) (rate(anomaly_events_rejected_total${ofPipeline}[$__rate_interval]))`,
        legend: '{{reason}}',
      },
    ],
    runbook: 'rejections',
  },
  {
    title: 'State found in memory',
    description: 'Share of the look-ups of keys that did not ask Redis.',
    unit: 'percentunit',
    queries: [
      {
        expr: `${rate('anomaly_state_lookups_total', ', outcome="hit"')} / ${rate('anomaly_state_lookups_total')}`,
        legend: 'hits',
      },
    ],
    runbook: 'state-misses',
  },
  {
    title: 'Age of the model',
    description: 'Time since the model that decides was fitted.',
    unit: 's',
    queries: [{ expr: `max(anomaly_pipeline_model_age_seconds${ofPipeline})`, legend: 'age' }],
    threshold: 86_400,
    runbook: 'model-stale',
  },
  {
    title: 'Record lag',
    description: 'How long ago the oldest verdict or episode was published that the history does not hold yet.',
    unit: 's',
    queries: [{ expr: `max by (what) (anomaly_record_lag_seconds${ofPipeline})`, legend: '{{what}}' }],
    threshold: 300,
    runbook: 'record-lag',
  },
  {
    title: 'Conditions',
    description: 'Conditions of the pipeline that are true.',
    unit: 'bool_yes_no',
    queries: [
      {
        expr: 'max by (type) (anomaly_pipeline_condition{namespace="$namespace", pipeline="$pipeline", status="True"})',
        legend: '{{type}}',
      },
    ],
    runbook: 'pipeline-not-ready',
  },
  {
    title: 'Memory by pod',
    description: 'Resident memory of each process.',
    unit: 'bytes',
    queries: [{ expr: `process_resident_memory_bytes${ofPipeline}`, legend: '{{pod}}' }],
  },
  {
    title: 'Processor by pod',
    description: 'Processor cores that each process uses.',
    unit: 'short',
    queries: [{ expr: `rate(process_cpu_seconds_total${ofPipeline}[$__rate_interval])`, legend: '{{pod}}' }],
  },
]

const operatorPanels: readonly Panel[] = [
  {
    title: 'Pipelines by condition',
    description: 'How many pipelines have each condition.',
    unit: 'short',
    queries: [
      {
        expr: 'count by (type) (max by (namespace, pipeline, type) (anomaly_pipeline_condition{status="True"}) == 1)',
        legend: '{{type}}',
      },
    ],
    runbook: 'pipeline-not-ready',
  },
  {
    title: 'Leader',
    description: '1 while an operator leads.',
    unit: 'short',
    queries: [{ expr: 'max(anomaly_operator_leader)', legend: 'leader' }],
    runbook: 'operator',
  },
  {
    title: 'Reconciles',
    description: 'Looks at a pipeline, by how they ended.',
    unit: 'ops',
    queries: [
      {
        expr: 'sum by (result) (rate(anomaly_operator_reconcile_total[$__rate_interval]))',
        legend: '{{result}}',
      },
    ],
    runbook: 'operator',
  },
  {
    title: 'Time of a reconcile',
    description: 'How long a look at a pipeline takes, and how long it waited for its turn.',
    unit: 's',
    queries: [
      {
        expr: 'histogram_quantile(0.95, sum by (le) (rate(anomaly_operator_reconcile_seconds_bucket[$__rate_interval])))',
        legend: 'p95',
      },
      {
        expr: 'histogram_quantile(0.95, sum by (le) (rate(anomaly_operator_queue_seconds_bucket[$__rate_interval])))',
        legend: 'p95 of waiting',
      },
    ],
    runbook: 'operator',
  },
  {
    title: 'Queue',
    description: 'Pipelines that wait for their turn.',
    unit: 'short',
    queries: [{ expr: 'max(anomaly_operator_queue_depth)', legend: 'waiting' }],
    threshold: 50,
    runbook: 'operator',
  },
  {
    title: 'Lag by pipeline',
    description: 'The ten pipelines in which most events wait.',
    unit: 'short',
    queries: [
      {
        expr: 'topk(10, max by (namespace, pipeline) (anomaly_pipeline_lag))',
        legend: '{{namespace}}/{{pipeline}}',
      },
    ],
    threshold: 10_000,
    runbook: 'lag',
  },
]

const datasource = { type: 'prometheus', uid: '$datasource' }

const variable = (name: string, query: string) => ({
  name,
  type: 'query',
  datasource,
  query,
  refresh: 2,
  sort: 1,
})

const panel = ({ title, description, unit, queries, threshold, runbook }: Panel, index: number) => ({
  id: index + 1,
  type: 'timeseries',
  title,
  description,
  datasource,
  gridPos: { h: 8, w: 12, x: (index % 2) * 12, y: Math.floor(index / 2) * 8 },
  fieldConfig: {
    defaults: {
      unit,
      min: 0,
      ...(threshold === undefined
        ? {}
        : {
            thresholds: {
              mode: 'absolute',
              steps: [
                { color: 'green', value: null },
                { color: 'red', value: threshold },
              ],
            },
            custom: { thresholdsStyle: { mode: 'line' } },
          }),
    },
    overrides: [],
  },
  options: { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi' } },
  ...(runbook === undefined ? {} : { links: [{ title: 'What to do', url: `RUNBOOKS/${runbook}.md` }] }),
  targets: queries.map(({ expr, legend }, at) => ({
    refId: String.fromCharCode(65 + at),
    datasource,
    expr,
    legendFormat: legend,
  })),
})

function dashboard(name: string, title: string, panels: readonly Panel[], variables: readonly object[]) {
  return {
    uid: `anomaly-${name}`,
    title,
    tags: ['anomaly'],
    timezone: 'browser',
    schemaVersion: 39,
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    templating: { list: [{ name: 'datasource', type: 'datasource', query: 'prometheus' }, ...variables] },
    panels: panels.map(panel),
  }
}

export const dashboards = {
  pipeline: dashboard('pipeline', 'Anomaly: a pipeline', pipelinePanels, [
    variable('namespace', 'label_values(anomaly_pipeline_condition, namespace)'),
    variable('pipeline', 'label_values(anomaly_pipeline_condition{namespace="$namespace"}, pipeline)'),
  ]),
  operator: dashboard('operator', 'Anomaly: the operator', operatorPanels, []),
}

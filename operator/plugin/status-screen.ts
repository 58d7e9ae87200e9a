import type { PipelineStatus } from '../../lib/pipeline/status.ts'
import type { KubeObject } from '../runtime/kube-object.ts'

type Condition = NonNullable<PipelineStatus['conditions']>[number]

/** Conditions that are good news while False. */
const abnormal = new Set(['Degraded', 'Stalled', 'Reconciling', 'Progressing'])
const order = ['redis', 'inference', 'consumer', 'api', 'recorder'] as const

/** How a pipeline is, on one screen. `now` is milliseconds since 1970. */
export function statusScreen({ metadata, spec, status }: KubeObject, now: number): string {
  const told = (status ?? {}) as PipelineStatus
  const { conditions = [] } = told
  const ready = conditions.find(({ type }) => type === 'Ready')
  const isSeen = told.observedGeneration === metadata.generation
  const lines = [
    `${metadata.namespace}/${metadata.name}: ${ready === undefined ? 'not seen by an operator yet' : describe(ready, now)}`,
    ...(ready === undefined ? [] : [indented(ready.message)]),
    ...(isSeen || ready === undefined ? [] : ['  the last change of the document was not taken up yet']),
    '',
    ...table([['COMPONENT', 'READY', 'UPDATED', 'WAITS FOR'], ...componentRows(told)]),
    '',
    ...table(
      figures(told, (spec as { readonly source?: { readonly topic?: string } } | undefined)?.source?.topic, now),
    ),
  ]
  const amiss = conditions.filter((condition) => condition.type !== 'Ready' && isAmiss(condition))
  if (amiss.length > 0)
    lines.push('', ...amiss.flatMap((one) => [`${one.type}: ${describe(one, now)}`, indented(one.message)]))
  return `${lines.join('\n')}\n`
}

const describe = ({ status, reason, lastTransitionTime }: Condition, now: number): string =>
  `${status} ${reason}, for ${duration(now - Date.parse(lastTransitionTime))}`

const isAmiss = ({ type, status }: Condition): boolean => (abnormal.has(type) ? status === 'True' : status === 'False')

const indented = (text: string): string => text.replace(/^/gm, '  ')

function componentRows({ components = {} }: PipelineStatus): readonly (readonly string[])[] {
  return order.flatMap((component) => {
    const state = components[component]
    if (state === undefined) return []
    const why = state.reason === undefined ? '' : `${state.reason}: ${state.message ?? ''}`
    return [[component, state.summary ?? '', `${state.updated ?? 0}`, why]]
  })
}

function figures({ source, alerts, history, model }: PipelineStatus, topic = 'the topic', now: number) {
  const none = 'not known yet'
  const budget =
    alerts?.budgetPerMillion === undefined ? 'a fixed threshold' : `a budget of ${count(alerts.budgetPerMillion)}`
  return [
    [
      'Lag',
      source?.lag === undefined ? none : `${count(source.lag)} events in ${source.partitions} partitions of ${topic}`,
    ],
    [
      'Episodes',
      alerts?.openEpisodes === undefined
        ? none
        : `${count(alerts.openEpisodes)} open, ${count(alerts.episodesLastHour ?? 0)} in the last hour`,
    ],
    [
      'Alerts',
      alerts?.perMillion === undefined
        ? none
        : `${count(alerts.perMillion)} per million in the last hour, with ${budget}`,
    ],
    ...(history?.lag === undefined ? [] : [['History', `${count(history.lag)} published records not recorded yet`]]),
    ['Model', model?.version === undefined ? none : `${model.version}${modelAge(model, now)}`],
    ...(model?.candidate === undefined
      ? []
      : [[model.candidate.outcome, `${model.candidate.version}: ${model.candidate.message}`]]),
    ...(model?.challenger === undefined ? [] : [['Challenger', challengerLine(model.challenger)]]),
  ]
}

function modelAge({ fitTime, rows }: NonNullable<PipelineStatus['model']>, now: number): string {
  const age = fitTime === undefined ? '' : `, fitted ${duration(now - Date.parse(fitTime))} ago`
  return `${age}${rows === undefined ? '' : `, stands for ${count(rows)} rows`}`
}

/** Its figures, each with the champion's. */
function challengerLine(figures: NonNullable<NonNullable<PipelineStatus['model']>['challenger']>): string {
  const { version, percentOfKeys, agreementPercent } = figures
  const beside = (own: number | undefined, champion: number | undefined, unit: string) =>
    `${own === undefined ? 'unknown' : `${count(own)}${unit}`} (${champion === undefined ? 'unknown' : `${count(champion)}${unit}`})`
  return [
    `${version} on ${percentOfKeys} % of the keys`,
    `alerts per million ${beside(figures.alertsPerMillion, figures.championAlertsPerMillion, '')}`,
    `agreement ${agreementPercent === undefined ? 'unknown' : `${agreementPercent} %`}`,
    `precision ${beside(figures.precisionPercent, figures.championPrecisionPercent, ' %')}`,
  ].join(', ')
}

const count = (number: number): string => number.toLocaleString('en-US')

/** As kubectl writes it: `5m`, `3h20m`, `12d`. */
function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 120) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`
  return `${Math.floor(hours / 24)}d`
}

/** Columns as wide as what is in them. */
function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('   ')
      .trimEnd(),
  )
}

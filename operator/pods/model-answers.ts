import type { PipelineStatus } from '../../lib/pipeline/status.ts'
import { type Fields, fieldsOf, type PodAnswer } from './pod-answer.ts'

type Model = NonNullable<PipelineStatus['model']>

/** The model that was fitted last, where it did not simply take over. */
export function candidateOf(answers: readonly PodAnswer[]): Pick<Model, 'candidate'> {
  const newest = answers
    .flatMap(({ role, status }) => {
      const { models } = fieldsOf(status)
      return role === 'inference' && Array.isArray(models) ? [fieldsOf(models[0])] : []
    })
    .reduce<Fields>((one, other) => (numberOf(other.rows) > numberOf(one.rows) ? other : one), {})
  const { outcome, version, reason } = newest
  if (typeof version !== 'string' || (outcome !== 'Refused' && outcome !== 'Forced')) return {}
  return { candidate: { version: version.slice(0, 320), outcome, message: textOf(reason) } }
}

/** The challenger's figures beside the champion's, of all pods. */
export function challengerOf(answers: readonly PodAnswer[]): Pick<Model, 'challenger'> {
  const of = (role: PodAnswer['role'], field: string) =>
    answers.flatMap((answer) => (answer.role === role ? [fieldsOf(fieldsOf(answer.status)[field])] : []))
  const scoring = of('inference', 'challenger').filter(({ challenger }) => challenger !== undefined)
  const { version } = fieldsOf(scoring[0]?.challenger)
  if (typeof version !== 'string') return {}
  const counts = of('consumer', 'challenge')
  const [own, champion] = [sidesOf(counts, 'challenger'), sidesOf(counts, 'champion')]
  return {
    challenger: {
      version: version.slice(0, 320),
      percentOfKeys: boundedTo(numberOf(scoring[0]?.percentOfKeys), 0, 100),
      ...given('alertsPerMillion', rateOf(own.alerts, own.events)),
      ...given('championAlertsPerMillion', rateOf(champion.alerts, champion.events)),
      ...given('agreementPercent', agreementOf(scoring)),
      ...given('precisionPercent', shareOf(own.confirmed, own.confirmed + own.falseAlarms)),
      ...given('championPrecisionPercent', shareOf(champion.confirmed, champion.confirmed + champion.falseAlarms)),
    },
  }
}

function sidesOf(counts: readonly Fields[], side: 'champion' | 'challenger') {
  const sum = (field: string) => counts.reduce((total, one) => total + numberOf(fieldsOf(one[side])[field]), 0)
  return { events: sum('events'), alerts: sum('alerts'), confirmed: sum('confirmed'), falseAlarms: sum('falseAlarms') }
}

/** The mean of the replicas, by the rows that they saw. */
function agreementOf(scoring: readonly Fields[]): number | undefined {
  let [sum, rows] = [0, 0]
  for (const { agreement, challenger } of scoring) {
    const weight = numberOf(fieldsOf(challenger).rows)
    if (typeof agreement !== 'number') continue
    sum += agreement * weight
    rows += weight
  }
  return rows > 0 ? boundedTo(Math.round((100 * sum) / rows), -100, 100) : undefined
}

/** Of fewer events the share that alerted is chance. */
const leastEvents = 1000

/** In steps of ten, so that chance does not write. */
const rateOf = (alerts: number, events: number): number | undefined =>
  events < leastEvents ? undefined : boundedTo(Math.round((alerts / events) * 100_000) * 10, 0, 1_000_000)

const shareOf = (part: number, whole: number): number | undefined =>
  whole === 0 ? undefined : boundedTo(Math.round((100 * part) / whole), 0, 100)

const boundedTo = (x: number, least: number, most: number): number => Math.min(most, Math.max(least, Math.round(x)))
const numberOf = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) ? value : 0)
const textOf = (value: unknown): string => (typeof value === 'string' ? value.slice(0, 1024) : '')
const given = <Name extends string>(name: Name, value: number | undefined) =>
  (value === undefined ? {} : { [name]: value }) as { readonly [_ in Name]?: number }

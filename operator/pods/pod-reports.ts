import type { PipelineStatus } from '../../lib/pipeline/status.ts'
import { type Degradation, degradationsOf } from './degradation.ts'
import { candidateOf, challengerOf } from './model-answers.ts'
import { type Fields, fieldsOf, type PodAnswer, problemText, storeOf } from './pod-answer.ts'

/** What the pods of a pipeline said last; absent: nobody said so yet. */
export interface PodReports {
  /** Null while the first one is learning. */
  readonly model?: ({ readonly version: string } & NonNullable<PipelineStatus['model']>) | null
  /** Of the events of the last hour; null where they were too few to say. */
  readonly alertsPerMillion?: number | null
  /** Of all consumers that answered: open now, and opened in the last hour. */
  readonly episodes?: { readonly open: number; readonly lastHour: number }
  /** Published records that the recorders have not recorded yet. */
  readonly recordLag?: number
  /** The generation that all pods that answered have taken up. */
  readonly config?: number
  /** Whether the store answers, as the pods see it; absent where none of those that answer says so. */
  readonly state?: { readonly problem?: string }
  /** What a pipeline works with all the same, but not as it should; the gravest first. */
  readonly degradations?: readonly Degradation[]
  /** Names of the features that occur in the events. */
  readonly features?: readonly string[]
  /** Why pods that run are not ready, in their own words, by the name of the pod. */
  readonly unready?: Readonly<Record<string, string>>
}

/** What the pods that answered say, as one. */
export function mergeAnswers(
  answers: readonly PodAnswer[],
): Pick<PodReports, 'model' | 'state' | 'degradations' | 'features'> {
  const models = answers.flatMap(({ role, status }) => (role === 'inference' ? modelOf(fieldsOf(status)) : []))
  const fitted = models.filter(({ version }) => version !== 'LEARNING' && version !== 'NONE')
  // That which most rows stand behind.
  const [most] = fitted.sort((a, b) => (b.rows ?? 0) - (a.rows ?? 0))
  const model = most && { ...most, ...candidateOf(answers), ...challengerOf(answers) }
  const stores = answers.flatMap(({ role, status }) => {
    const said = storeOf(fieldsOf(status))
    return said === undefined ? [] : [{ role, said }]
  })
  const away = stores.find(({ said }) => said !== 'ok')
  const features = seenOf(answers)
  return {
    ...(models.length === 0 ? {} : { model: model ?? null }),
    ...(stores.length === 0
      ? {}
      : { state: away === undefined ? {} : { problem: `${away.role}: ${problemText(away.said)}` } }),
    ...(answers.length === 0 ? {} : { degradations: degradationsOf(answers) }),
    ...(features === undefined ? {} : { features }),
  }
}

/** The oldest generation that a pod judges by; absent where none of them tells. */
export function configOf(answers: readonly PodAnswer[]): number | undefined {
  const told = answers.flatMap(({ status }) => {
    const { generation } = fieldsOf(status)
    return Number.isSafeInteger(generation) && Number(generation) >= 0 ? [Number(generation)] : []
  })
  return told.length === 0 ? undefined : Math.min(...told)
}

/** Episodes of all consumers; absent where none of them tells. */
export function episodesOf(answers: readonly PodAnswer[]): PodReports['episodes'] {
  let told: { open: number; lastHour: number } | undefined
  for (const { role, status } of answers) {
    const { episodes, openEpisodes } = fieldsOf(status)
    if (role !== 'consumer' || typeof episodes !== 'number' || typeof openEpisodes !== 'number') continue
    told ??= { open: 0, lastHour: 0 }
    told.open += openEpisodes
    told.lastHour += episodes
  }
  return told && { open: countOf(told.open), lastHour: countOf(told.lastHour) }
}

/** Of all recorders; absent where none of them tells. */
export function recordLagOf(answers: readonly PodAnswer[]): number | undefined {
  const told = answers.flatMap(({ role, status }) => {
    const { lag } = fieldsOf(fieldsOf(status).history)
    if (role !== 'recorder' || lag === undefined) return []
    return Object.values(fieldsOf(lag)).map((of) => Number(fieldsOf(of).records))
  })
  const known = told.filter((records) => Number.isSafeInteger(records) && records >= 0)
  return known.length === 0 ? undefined : countOf(known.reduce((sum, records) => sum + records, 0))
}

const countOf = (sum: number): number => Math.min(2 ** 31 - 1, Math.max(0, Math.round(sum)))

/** Of fewer events the share that alerted is chance. */
const leastEvents = 1000

/** Events per million of the last hour that alerted, of all consumers, in steps of ten so that chance does not write. */
export function alertRateOf(answers: readonly PodAnswer[]): number | undefined {
  const counts = answers.flatMap(({ role, status }) => {
    const { events, alerts } = fieldsOf(status)
    return role === 'consumer' && typeof events === 'number' && typeof alerts === 'number' ? [{ events, alerts }] : []
  })
  const sum = (field: 'events' | 'alerts') => counts.reduce((total, count) => total + count[field], 0)
  const events = sum('events')
  if (!(events >= leastEvents)) return undefined
  return Math.min(1_000_000, Math.max(0, Math.round((sum('alerts') / events) * 100_000) * 10))
}

/** Names of features that the consumers have seen; absent where they have not seen enough events to tell. */
function seenOf(answers: readonly PodAnswer[]): readonly string[] | undefined {
  const consumers = answers.filter(({ role }) => role === 'consumer').map(({ status }) => fieldsOf(status))
  const events = consumers.reduce((total, { events: own }) => total + (typeof own === 'number' ? own : 0), 0)
  const lists = consumers.flatMap(({ features }) => (Array.isArray(features) ? [features as readonly unknown[]] : []))
  if (!(events >= leastEvents) || lists.length === 0) return undefined
  const names = new Set(lists.flat().filter((name) => typeof name === 'string'))
  return [...names].sort().slice(0, 1000)
}

function modelOf({ modelVersion, modelRows, modelFitTime }: Fields) {
  if (typeof modelVersion !== 'string') return []
  return [
    {
      version: modelVersion.slice(0, 320),
      ...(Number.isSafeInteger(modelRows) && Number(modelRows) >= 0 ? { rows: Number(modelRows) } : {}),
      ...(isTime(modelFitTime) ? { fitTime: modelFitTime } : {}),
    },
  ]
}

/** RFC 3339 in UTC, as the status wants it. */
const isTime = (value: unknown): value is string =>
  typeof value === 'string' &&
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value) &&
  !Number.isNaN(Date.parse(value))

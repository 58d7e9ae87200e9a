import type { Logger } from '../../lib/log.ts'
import { type Clock, sleep } from '../../lib/time.ts'
import { ports } from '../desired/child.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { type AskPod, createPodClient } from './pod-client.ts'

/** What the pods of a pipeline said last; absent: nobody said so yet. */
export interface PodReports {
  /** Null while the first one is learning. */
  readonly model?: { readonly version: string; readonly rows?: number; readonly fitTime?: string } | null
  readonly alertsPerMillion?: number
}

export interface PodReportsOptions {
  readonly log: Logger
  readonly clock: Clock
  readonly random: () => number
  /** The pods of a component of a pipeline. */
  readonly podsOf: (key: string, component: 'consumer' | 'inference') => readonly KubeObject[]
  /** Called when what `read` gives has changed. */
  readonly changed: (key: string) => void
  readonly askPod?: AskPod
  readonly intervalMs?: number
}

export interface ReportReader {
  /** Asks the pods of the pipeline from now on, or no longer. */
  follow(key: string, isFollowed: boolean): void
  read(key: string): PodReports | undefined
  stop(): void
}

/** Pods of a component that are asked: of a thousand replicas a few tell how it is. */
const mostAsked = 20

/** Asks the pods of pipelines how they are, beside the reconciles: a pod that does not answer holds up nothing. */
export function createReportReader(options: PodReportsOptions): ReportReader {
  const { log, clock, random, podsOf, changed } = options
  const { askPod = createPodClient({ timeoutMs: 2_000 }), intervalMs = 60_000 } = options
  const followed = new Map<string, { readonly end: AbortController; reports?: PodReports }>()

  async function ask(key: string, component: 'consumer' | 'inference'): Promise<readonly unknown[]> {
    const addresses = podsOf(key, component).flatMap(addressOf).slice(0, mostAsked)
    const answers = await Promise.allSettled(
      addresses.map(async (address) => JSON.parse(await askPod(address)) as unknown),
    )
    const failed = answers.filter(({ status }) => status === 'rejected').length
    if (failed > 0) log.debug({ key, component, failed }, 'pods did not tell their status')
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
  }

  async function work(key: string, entry: { readonly end: AbortController; reports?: PodReports }) {
    const { signal } = entry.end
    while (!signal.aborted) {
      await sleep(entry.reports === undefined ? (random() * intervalMs) / 6 : intervalMs, { signal, clock })
      if (signal.aborted) return
      const [consumers, inferences] = await Promise.all([ask(key, 'consumer'), ask(key, 'inference')])
      // What nobody tells at this moment is as it was told before.
      const reports = { ...entry.reports, ...mergeReports(consumers, inferences) }
      if (signal.aborted || JSON.stringify(reports) === JSON.stringify(entry.reports ?? {})) continue
      entry.reports = reports
      changed(key)
    }
  }

  return {
    follow(key, isFollowed) {
      const known = followed.get(key)
      if (!isFollowed) {
        known?.end.abort()
        followed.delete(key)
      } else if (known === undefined) {
        const entry = { end: new AbortController() }
        followed.set(key, entry)
        void work(key, entry)
      }
    },
    read: (key) => followed.get(key)?.reports,
    stop() {
      for (const { end } of followed.values()) end.abort()
      followed.clear()
    },
  }
}

function addressOf({ status, metadata }: KubeObject): readonly string[] {
  const { podIP, phase } = (status ?? {}) as { podIP?: string; phase?: string }
  if (podIP === undefined || phase !== 'Running' || metadata.deletionTimestamp !== undefined) return []
  return [`http://${podIP.includes(':') ? `[${podIP}]` : podIP}:${ports.metrics}/status`]
}

/** Of fewer events since the consumers were started, the share that alerted is chance. */
const leastEvents = 1000

/**
 * What the pods say, as one: the model that most rows stand behind, and the share of the events that the consumers alerted
 * since they were started, in steps of 10 per million so that chance does not write. What no pod says is absent.
 */
export function mergeReports(consumers: readonly unknown[], inferences: readonly unknown[]): PodReports {
  const models = inferences.map(fieldsOf).flatMap(({ modelVersion, modelRows, modelFitTime }) => {
    if (typeof modelVersion !== 'string') return []
    return [
      {
        version: modelVersion.slice(0, 128),
        ...(Number.isSafeInteger(modelRows) && Number(modelRows) >= 0 ? { rows: Number(modelRows) } : {}),
        ...(isTime(modelFitTime) ? { fitTime: modelFitTime } : {}),
      },
    ]
  })
  const counts = consumers
    .map(fieldsOf)
    .flatMap(({ events, alerts }) =>
      typeof events === 'number' && typeof alerts === 'number' ? [{ events, alerts }] : [],
    )
  const sum = (field: 'events' | 'alerts') => counts.reduce((total, count) => total + count[field], 0)
  const fitted = models.filter(({ version }) => version !== 'LEARNING' && version !== 'NONE')
  const [model] = fitted.sort((a, b) => (b.rows ?? 0) - (a.rows ?? 0))
  const events = sum('events')
  const alertsPerMillion = Math.min(1_000_000, Math.max(0, Math.round((sum('alerts') / events) * 100_000) * 10))
  return {
    ...(models.length === 0 ? {} : { model: model ?? null }),
    ...(events >= leastEvents ? { alertsPerMillion } : {}),
  }
}

/** RFC 3339 in UTC, as the status wants it. */
const isTime = (value: unknown): value is string =>
  typeof value === 'string' &&
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value) &&
  !Number.isNaN(Date.parse(value))

const fieldsOf = (answer: unknown): Readonly<Record<string, unknown>> =>
  typeof answer === 'object' && answer !== null ? (answer as Readonly<Record<string, unknown>>) : {}

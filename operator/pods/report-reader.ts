import type { Logger } from '../../lib/log.ts'
import { type Role, roles } from '../../lib/pipeline/spec.ts'
import { type AskPod, createPodClient } from '../../lib/pod-client.ts'
import { type Clock, sleep } from '../../lib/time.ts'
import { ports } from '../desired/child.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { fieldsOf, type PodAnswer, unreadyCause } from './pod-answer.ts'
import { alertRateOf, configOf, episodesOf, mergeAnswers, type PodReports, recordLagOf } from './pod-reports.ts'

export interface ReportReaderOptions {
  readonly log: Logger
  readonly clock: Clock
  readonly random: () => number
  /** The pods of a component of a pipeline. */
  readonly podsOf: (key: string, role: Role) => readonly KubeObject[]
  /** Called when what `read` gives has changed enough to be told. */
  readonly changed: (key: string) => void
  readonly askPod?: AskPod | undefined
  readonly intervalMs?: number | undefined
  /** How often figures that changed are told, at most. */
  readonly tellMs?: number | undefined
}

export interface ReportReader {
  /** Asks the pods of the pipeline from now on, or no longer. */
  follow(key: string, isFollowed: boolean): void
  /** What was told last. */
  read(key: string): PodReports | undefined
  stop(): void
}

interface Entry {
  readonly end: AbortController
  readonly counters: Counters
  /** Since when the events of the last hour are too few to tell a rate. */
  fewSince: number | undefined
  told?: PodReports
  toldAt: number
}

/** Pods of a component that are asked: of a thousand replicas a few tell how it is. */
const mostAsked = 20
const hourMs = 3_600_000

/** Asks the pods of pipelines how they are, beside the reconciles: a pod that does not answer holds up nothing. */
export function createReportReader(options: ReportReaderOptions): ReportReader {
  const { log, clock, random, podsOf, changed } = options
  const { askPod = createPodClient({ timeoutMs: 2_000, accepts: (status) => status === 200 || status === 503 }) } =
    options
  const { intervalMs = 8_000, tellMs = 60_000 } = options
  const followed = new Map<string, Entry>()

  /** What each pod of the pipeline answers that does. */
  async function ask<T>(pods: readonly KubeObject[], path: string, read: (text: string) => T) {
    const asked = pods.flatMap((pod) => addressOf(pod).map((address) => ({ pod, url: `${address}${path}` })))
    const answers = await Promise.allSettled(
      asked.map(async ({ pod, url }) => ({ pod: pod.metadata.name, answer: read(await askPod(url)) })),
    )
    const failed = answers.filter(({ status }) => status === 'rejected').length
    if (failed > 0) log.debug({ path, failed, asked: asked.length }, 'pods did not answer')
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
  }

  async function look(key: string, entry: Entry): Promise<PodReports> {
    const at = clock.monotonic()
    const pods = roles.flatMap((role) =>
      podsOf(key, role)
        .slice(0, mostAsked)
        .map((pod) => ({ role, pod })),
    )
    const [statuses, causes] = await Promise.all([
      Promise.all(
        roles.map(async (role): Promise<readonly PodAnswer[]> => {
          const own = pods.filter((one) => one.role === role).map(({ pod }) => pod)
          const found = await ask(own, '/status', (text) => JSON.parse(text) as unknown)
          return found.map(({ pod, answer }) => ({ role, pod, status: entry.counters.presentOf(pod, answer, at) }))
        }),
      ),
      ask(pods.map(({ pod }) => pod).filter(isUnready), '/readyz', unreadyCause),
    ])
    const answers = statuses.flat()
    const rate = alertRateOf(answers)
    const episodes = episodesOf(answers)
    const recordLag = recordLagOf(answers)
    const config = configOf(answers)
    entry.fewSince = rate === undefined ? (entry.fewSince ?? at) : undefined
    // Right after a start they are few: then what was told stands. After an hour it is the present.
    const isSilent = entry.fewSince !== undefined && at - entry.fewSince >= hourMs
    const alertsPerMillion = rate ?? (isSilent ? null : undefined)
    const unready = Object.fromEntries(
      causes.flatMap(({ pod, answer }) => (answer === undefined ? [] : [[pod, answer] as const])),
    )
    const { model, ...present } = mergeAnswers(answers)
    return {
      // A model that nobody tells of at this moment is as it was told before.
      ...(model === undefined ? (entry.told?.model === undefined ? {} : { model: entry.told.model }) : { model }),
      ...present,
      ...(alertsPerMillion === undefined ? {} : { alertsPerMillion }),
      ...(episodes === undefined ? {} : { episodes }),
      ...(recordLag === undefined ? {} : { recordLag }),
      ...(config === undefined ? {} : { config }),
      ...(Object.keys(unready).length === 0 ? {} : { unready }),
    }
  }

  async function work(key: string, entry: Entry): Promise<void> {
    const { signal } = entry.end
    await sleep((random() * intervalMs) / 4, { signal, clock })
    while (!signal.aborted) {
      const reports = await look(key, entry)
      if (signal.aborted) return
      const isLate = clock.monotonic() - entry.toldAt >= tellMs
      if (isNews(entry.told, reports) || (isLate && !isSame(entry.told, reports))) {
        entry.told = reports
        entry.toldAt = clock.monotonic()
        changed(key)
      }
      await sleep(intervalMs * (0.9 + random() / 5), { signal, clock })
    }
  }

  return {
    follow(key, isFollowed) {
      const known = followed.get(key)
      if (!isFollowed) {
        known?.end.abort()
        followed.delete(key)
      } else if (known === undefined) {
        const entry: Entry = {
          end: new AbortController(),
          fewSince: undefined,
          counters: createCounters(),
          toldAt: Number.NEGATIVE_INFINITY,
        }
        followed.set(key, entry)
        void work(key, entry)
      }
    },
    read: (key) => followed.get(key)?.told,
    stop() {
      for (const { end } of followed.values()) end.abort()
      followed.clear()
    },
  }
}

/** What is told at once: all but figures, which change all the time. */
function isNews(before: PodReports | undefined, after: PodReports): boolean {
  const urgent = ({ model, state, degradations, unready, features, config }: PodReports) => ({
    model: model && { version: model.version, candidate: model.candidate, challenger: model.challenger?.version },
    state,
    degradations,
    unready,
    features,
    config,
  })
  return before === undefined || !isSame(urgent(before), urgent(after))
}

const isSame = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

interface PodStatus {
  readonly podIP?: string
  readonly phase?: string
  readonly conditions?: readonly { readonly type: string; readonly status: string }[]
}

function addressOf({ status, metadata }: KubeObject): readonly string[] {
  const { podIP, phase } = (status ?? {}) as PodStatus
  if (podIP === undefined || phase !== 'Running' || metadata.deletionTimestamp !== undefined) return []
  return [`http://${podIP.includes(':') ? `[${podIP}]` : podIP}:${ports.metrics}`]
}

const isUnready = ({ status }: KubeObject): boolean =>
  ((status ?? {}) as PodStatus).conditions?.find(({ type }) => type === 'Ready')?.status === 'False'

/** What pods count from their start on, as what it says of the present. */
interface Counters {
  /** The answer with each number among its conditions as whether that grew within the last hour. */
  presentOf(pod: string, answer: unknown, at: number): unknown
}

function createCounters(): Counters {
  const seen = new Map<string, { readonly count: number; readonly grewAt: number; readonly at: number }>()
  return {
    presentOf(pod, answer, at) {
      for (const [name, entry] of seen) if (at - entry.at > hourMs) seen.delete(name)
      const conditions = Object.entries(fieldsOf(fieldsOf(answer).conditions)).slice(0, 32)
      const present = conditions.map(([name, count]) => {
        if (typeof count !== 'number') return [name, count] as const
        const id = `${pod}/${name}`
        const before = seen.get(id)
        // A container that was started again counts from zero.
        const grew = count > (before !== undefined && count >= before.count ? before.count : 0)
        const grewAt = grew ? at : (before?.grewAt ?? Number.NEGATIVE_INFINITY)
        seen.set(id, { count, grewAt, at })
        return [name, at - grewAt < hourMs] as const
      })
      return { ...fieldsOf(answer), conditions: Object.fromEntries(present) }
    },
  }
}

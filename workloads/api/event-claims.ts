import { formerFingerprintOf } from '../rest/fingerprint.ts'
import { degradeWithoutStore, type EventPlace, type EventResult, type ResultStore } from '../state/state.ts'
import type { Job, JudgedJob } from './job.ts'

export interface EventClaims {
  /** The job in this process that has the id and is not over yet. */
  held(eventId: string): Job | undefined
  hold(job: Job): void
  /** The verdict of an event that the store does not have yet. */
  unstored(eventId: string): EventResult | undefined
  /** Whose jobs they are; those that have a verdict already are settled. Jobs that were claimed before stay as they are. */
  claim(jobs: readonly Job[]): Promise<ClaimedJobs>
  /** Nothing of these events is kept, so that they can be sent again. */
  release(jobs: readonly Job[]): void
  /** What is answered from now on wherever one of these events comes again. */
  keep(judged: readonly JudgedJob[]): Promise<void>
  close(): void
}

export interface ClaimedJobs {
  /** To be judged here. */
  readonly mine: readonly Job[]
  /** Claimed by others, who have not finished. */
  readonly pending: readonly Job[]
  /** To be judged here if they are not in the topic: a process that is gone may have sent them from that place on. */
  readonly abandoned: ReadonlyMap<Job, EventPlace>
}

export interface EventClaimsOptions {
  readonly results: ResultStore
  /** The id came with another body before. */
  readonly reused: (job: Job) => void
  /** How long verdicts that alert are kept, as others if absent. */
  readonly alertSeconds?: number | undefined
  /** How often the store is told that this process lives, and what it could not be told before. */
  readonly everyMs?: number | undefined
}

interface KeptResult extends EventResult {
  readonly seconds: number
}

/** How long an event is answered with its first verdict, and its verdict can be read; claims last as long at most. */
const resultSeconds = 3600
/** Verdicts and releases that wait for a store that is away. */
const maxUntold = 20_000

/** Nothing of the job's event is in the topic. */
export function setFirst(job: Job): void {
  job.isFirst = true
  job.stored = 'Nothing'
}

/** An earlier release stored none, or one of the text. */
function isOf({ fingerprint, value }: Job, stored: string | undefined): boolean {
  return stored === undefined || stored === fingerprint || stored === formerFingerprintOf(value)
}

/** The first request with an event's id claims it; those that come later get its verdict. */
export function createEventClaims(options: EventClaimsOptions): EventClaims {
  const { results, reused, alertSeconds = resultSeconds, everyMs = 5000 } = options
  const held = new Map<string, Job>()
  const claimed = new WeakSet<Job>()
  const unstored = new Map<string, KeptResult>()
  const unreleased = new Set<string>()
  const isNamed = ({ isIdAssigned }: Job): boolean => !isIdAssigned
  const timer = setInterval(() => void tell().catch(degradeWithoutStore), everyMs).unref()

  async function tell(): Promise<void> {
    if (held.size > 0) await results.live()
    const [verdicts, released] = [[...unstored.values()], [...unreleased]]
    await put(verdicts)
    for (const { eventId } of verdicts) unstored.delete(eventId)
    if (released.length > 0) await results.release(released.filter((id) => !held.has(id)))
    for (const id of released) unreleased.delete(id)
  }

  async function put(verdicts: readonly KeptResult[]): Promise<void> {
    for (const [seconds, kept] of Map.groupBy(verdicts, ({ seconds }) => seconds)) await results.put(kept, seconds)
  }

  return {
    held: (eventId) => held.get(eventId),
    hold(job) {
      const { id } = job.event
      held.set(id, job)
      job.outcome.then(() => held.delete(id))
    },
    unstored: (eventId) => unstored.get(eventId),

    async claim(jobs) {
      const mine = jobs.filter((job) => job.isIdAssigned || claimed.has(job))
      const pending: Job[] = []
      const abandoned = new Map<Job, EventPlace>()
      const named = jobs.filter((job) => isNamed(job) && !claimed.has(job))
      const asked = named.map(({ event, fingerprint, place }) => ({ eventId: event.id, fingerprint, place }))
      // Without the store an event is claimed in this process only.
      const claims = await results.claim(asked, resultSeconds).catch(degradeWithoutStore)
      for (const [i, job] of named.entries()) {
        const known = claims?.[i]
        if (known?.type === 'Claimed') setFirst(job)
        const claim = known ?? { type: 'Claimed' }
        if ('fingerprint' in claim && !isOf(job, claim.fingerprint)) {
          reused(job)
        } else if (claim.type === 'Verdict') {
          job.settle({ kind: 'verdict', json: claim.json, replayed: true })
        } else if (claim.type === 'Pending') pending.push(job)
        else {
          claimed.add(job)
          if (claim.type === 'Abandoned') abandoned.set(job, claim.place)
          else mine.push(job)
        }
      }
      return { mine, pending, abandoned }
    },

    release(jobs) {
      const ids = jobs.filter((job) => isNamed(job) && claimed.has(job)).map(({ event }) => event.id)
      if (ids.length === 0) return
      results.release(ids).catch(() => {
        if (unreleased.size < maxUntold) for (const id of ids) unreleased.add(id)
      })
    },

    async keep(judged) {
      const verdicts = judged.map(({ job: { event, isIdAssigned, fingerprint }, isAnomaly, json }): KeptResult => {
        const seconds = isAnomaly ? alertSeconds : resultSeconds
        return { eventId: event.id, json, seconds, ...(isIdAssigned ? {} : { fingerprint }) }
      })
      await put(verdicts).catch(() => {
        if (unstored.size < maxUntold) for (const verdict of verdicts) unstored.set(verdict.eventId, verdict)
      })
    },

    close: () => clearInterval(timer),
  }
}

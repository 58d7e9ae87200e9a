import type { DetectionSpec } from '../../lib/pipeline/spec.ts'
import type { Episode } from './episode.ts'
import { OpenEpisodes, quietMsOf } from './open-episodes.ts'
import type { Verdict } from './verdict.ts'

/** What a run found, counted in episodes. */
export interface EpisodeFigures {
  /** Episodes that were opened, without those that became part of another. */
  readonly episodes: number
  /** Of them, still open. */
  readonly open: number
  /** From the earliest to the latest event, in days; NaN where events have no time. */
  readonly days: number
  /** Against the truth; absent where nobody told it. */
  readonly truth?: EpisodeTruth
}

export interface EpisodeTruth {
  /** True episodes with an alert, or within the refractory period of one. */
  readonly found: number
  readonly missed: number
  /** Episodes without any event of a true one. */
  readonly falseEpisodes: number
  /** From the first event of a true episode to its first alert, in ms: half of those that were found took no longer. NaN without any. */
  readonly medianDelayMs: number
}

/** An episode that was opened, and whether it holds an event of a true one. */
interface Alerted {
  isRight: boolean
}

interface TrueEpisode {
  readonly began: number
  delayMs: number | undefined
}

/** Holds the episodes of a run against the truth. */
export class EpisodeQuality {
  readonly #open: OpenEpisodes
  readonly #truths = new Map<number, TrueEpisode>()
  /** The episode that each key is in, or was in last. */
  readonly #current = new Map<string, Alerted>()
  /** By id, those that are open. */
  readonly #alerted = new Map<string, Alerted>()
  #episodes = 0
  #falseEpisodes = 0
  #isLabelled = false
  #from = Number.POSITIVE_INFINITY
  #to = Number.NEGATIVE_INFINITY

  constructor(spec: Pick<DetectionSpec, 'refractorySeconds'>) {
    this.#open = new OpenEpisodes(spec)
  }

  /** The next verdict. @param truth number of the true episode that the event belongs to, 0 for none; undefined: unknown */
  add(verdict: Verdict, truth: number | undefined): void {
    const { timestamp } = verdict
    if (timestamp !== null) {
      if (timestamp < this.#from) this.#from = timestamp
      if (timestamp > this.#to) this.#to = timestamp
    }
    const changes: Episode[] = []
    this.#open.add(verdict, changes)
    for (const change of changes) this.#follow(change, verdict)
    if (truth !== undefined) this.#isLabelled = true
    if (truth !== undefined && truth > 0) this.#hold(verdict, truth)
  }

  get figures(): EpisodeFigures {
    const { size: open } = this.#open
    const episodes = this.#episodes
    const days = this.#to >= this.#from ? (this.#to - this.#from) / 86_400_000 : Number.NaN
    if (!this.#isLabelled) return { episodes, open, days }
    const delays = [...this.#truths.values()].flatMap(({ delayMs }) => (delayMs === undefined ? [] : [delayMs]))
    delays.sort((a, b) => a - b)
    let falseEpisodes = this.#falseEpisodes
    for (const { isRight } of this.#alerted.values()) if (!isRight) falseEpisodes++
    return {
      episodes,
      open,
      days,
      truth: {
        found: delays.length,
        missed: this.#truths.size - delays.length,
        falseEpisodes,
        medianDelayMs: delays[Math.floor((delays.length - 1) / 2)] ?? Number.NaN,
      },
    }
  }

  #follow({ change, episodeId, userId, partOf }: Episode, verdict: Verdict): void {
    if (change === 'Opened') {
      this.#alerted.set(episodeId, { isRight: false })
      this.#episodes++
    }
    const alerted = this.#alerted.get(episodeId)!
    if (change !== 'Closed') {
      this.#current.set(userId ?? verdict.userId, alerted)
      return
    }
    this.#alerted.delete(episodeId)
    if (partOf === undefined) {
      if (!alerted.isRight) this.#falseEpisodes++
      return
    }
    const stream = this.#alerted.get(partOf)!
    if (alerted.isRight) stream.isRight = true
    this.#current.set(userId!, stream)
    this.#episodes--
  }

  #hold({ isAnomaly, suppressedBy, timestamp, userId }: Verdict, truth: number): void {
    const time = timestamp ?? Number.NaN
    let one = this.#truths.get(truth)
    if (one === undefined) {
      one = { began: time, delayMs: undefined }
      this.#truths.set(truth, one)
    }
    if (!isAnomaly && suppressedBy !== 'Refractory') return
    one.delayMs ??= time - one.began
    const alerted = this.#current.get(userId)
    if (alerted !== undefined) alerted.isRight = true
  }
}

/** Numbers true episodes from labels: rows of one key with none that is normal between them, or hardly any time. */
export class LabelledEpisodes {
  readonly #quietMs: number
  /** Of keys that are in an episode. */
  readonly #last = new Map<string, { readonly number: number; time: number; isOver: boolean }>()
  #count = 0

  constructor(spec: Pick<DetectionSpec, 'refractorySeconds'>) {
    this.#quietMs = quietMsOf(spec)
  }

  /** The number of the episode that the key's next event belongs to; 0 for a normal one. */
  next({ userId, timestamp }: Pick<Verdict, 'userId' | 'timestamp'>, label: 0 | 1): number {
    const last = this.#last.get(userId)
    const time = timestamp ?? Number.NaN
    if (label === 0) {
      if (last === undefined) return 0
      last.isOver = true
      if (!(time - last.time < this.#quietMs)) this.#last.delete(userId)
      return 0
    }
    if (last !== undefined && (!last.isOver || time - last.time < this.#quietMs)) {
      last.time = time
      last.isOver = false
      return last.number
    }
    this.#last.set(userId, { number: ++this.#count, time, isOver: false })
    return this.#count
  }
}

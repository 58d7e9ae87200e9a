import type { DetectionSpec } from '../../lib/pipeline/spec.ts'
import type { SharedMemory } from './detector.ts'
import { type Episode, type EpisodeChange, leadingFeature } from './episode.ts'
import type { Event } from './event.ts'
import type { Verdict } from './verdict.ts'

/** An episode ends when its key had nothing unusual for twice the refractory period, and at least for so long … */
const shortestQuietMs = 60_000
/** … and for so many of its own events; a key that sends nothing more is waited for as long as this many such times. */
const ordinaryEvents = 3
const patience = 12
/** Episodes of keys that are open at once; beyond it the one without news for longest is closed. */
const mostOpen = 1000
/** Keys of an episode of the stream that are known by name. */
const mostKeys = 1000
/** So many keys, and so many times as many as open an episode in such a time anyhow, alert together. */
const fewestTogether = 5
const timesUsual = 4
/** How long it takes to forget how many open an episode anyhow. */
const usualMs = 86_400_000
/** Where no event has a time, each counts as so much. */
const untimedMs = 1000

interface Open {
  readonly episodeId: string
  readonly key: string | null
  readonly feature: string
  readonly firstTimestamp: number | null
  /** Of the clock, when it was opened and when it last had news. */
  readonly openedAt: number
  seenAt: number
  lastTimestamp: number | null
  alerts: number
  events: number
  keys: number
  peakScore: number
  peakEventId: string
  reasons: Verdict['reasons']
}

interface OpenOfKey extends Open {
  readonly key: string
  /** Events of the key since its last news. */
  ordinary: number
  /** All but `ordinary`, as JSON; undefined where it is not up to date. */
  saved: string | undefined
}

interface OpenOfStream extends Open {
  readonly key: null
  readonly names: Set<string>
}

/** How far a stream was handled. */
export interface StreamPlace {
  /** Offset after the last event. */
  readonly next: number
  /** When it was handled, in ms since 1970. */
  readonly at: number
}

/** Numbers without a meaning yet are null. */
interface Saved {
  readonly place?: StreamPlace
  readonly clock: number | null
  readonly isTimed: boolean
  readonly since: number | null
  readonly usual: number
  readonly usualAt: number | null
  readonly ordinary: readonly number[]
  readonly streams: readonly (OpenOfStream & { readonly names: readonly string[] })[]
  readonly keys: readonly OpenOfKey[]
}

/**
 * Groups alerts into episodes as verdicts come, in order; results do not depend on where a stream is cut into batches.
 * Time is that of the latest event. An episode goes on while its key alerts or its refractory period silences what
 * would have been alerts. Where many keys open one for the same feature within the quiet time, their episodes become
 * part of one of the stream, and keys that alert for that feature from then on join it.
 */
export class OpenEpisodes implements SharedMemory {
  #quietMs: number
  /** From the one without news for longest. */
  readonly #ofKeys = new Map<string, OpenOfKey>()
  /** By feature. */
  readonly #ofStream = new Map<string, OpenOfStream>()
  #clock = Number.NEGATIVE_INFINITY
  #isTimed = false
  /** When the first episode was opened, how many were opened lately (each fades away), and as of when. */
  #since = Number.NaN
  #usual = 0
  #usualAt = Number.NaN
  #place: StreamPlace | undefined
  /** What `save` answers until the next event. */
  #saved: Uint8Array | undefined

  constructor(spec: Pick<DetectionSpec, 'refractorySeconds'>) {
    this.#quietMs = quietMsOf(spec)
  }

  /** Episodes end by this refractory period from now on. */
  use(spec: Pick<DetectionSpec, 'refractorySeconds'>): void {
    this.#quietMs = quietMsOf(spec)
  }

  /** Episodes that are open now. */
  get size(): number {
    return this.#ofKeys.size + this.#ofStream.size
  }

  /** Where in the stream these are the open episodes; undefined where nobody said so. */
  get place(): StreamPlace | undefined {
    return this.#place
  }

  moveTo(place: StreamPlace): void {
    this.#place = place
    this.#saved = undefined
  }

  /** Takes in the next verdict, and adds to `changes` what became of episodes. */
  add(verdict: Verdict, changes: Episode[]): void {
    this.#tick(verdict.timestamp, changes)
    if (verdict.isAnomaly) this.#alert(verdict, changes)
    else if (this.#ofKeys.size > 0 || this.#ofStream.size > 0) this.#goOn(verdict, changes)
  }

  /** Takes in an event without a verdict: that it did not alert is all that is known. */
  pass({ key, time }: Pick<Event, 'key' | 'time'>, changes: Episode[]): void {
    const timestamp = Number.isNaN(time) ? null : time
    this.#tick(timestamp, changes)
    this.#goOn({ userId: key, timestamp }, changes)
  }

  #tick(timestamp: number | null, changes: Episode[]): void {
    this.#saved = undefined
    if (timestamp !== null) {
      if (timestamp > this.#clock || !this.#isTimed) this.#clock = timestamp
      this.#isTimed = true
    } else if (!this.#isTimed) this.#clock = this.#clock < 0 ? 0 : this.#clock + untimedMs
    if (this.#ofKeys.size > 0 || this.#ofStream.size > 0) this.#closeQuiet(changes)
  }

  #alert(verdict: Verdict, changes: Episode[]): void {
    const { userId } = verdict
    const own = this.#ofKeys.get(userId)
    const open = own ?? this.#ofStream.get(leadingFeature(verdict)) ?? this.#streamOf(userId)
    if (open === undefined) this.#open(verdict, changes)
    else {
      if (open.key === null) addKey(open, userId)
      open.alerts++
      if (verdict.anomalyScore > open.peakScore) {
        open.peakScore = verdict.anomalyScore
        open.peakEventId = verdict.eventId
        open.reasons = verdict.reasons
      }
      this.#news(open, verdict)
      changes.push(told(open, 'Updated'))
    }
  }

  #open(verdict: Verdict, changes: Episode[]): void {
    if (this.#ofKeys.size === mostOpen) this.#close(this.#ofKeys.values().next().value!, changes)
    const open: OpenOfKey = {
      episodeId: verdict.eventId,
      key: verdict.userId,
      feature: leadingFeature(verdict),
      firstTimestamp: verdict.timestamp,
      lastTimestamp: verdict.timestamp,
      openedAt: this.#clock,
      seenAt: this.#clock,
      alerts: 1,
      events: 1,
      keys: 1,
      peakScore: verdict.anomalyScore,
      peakEventId: verdict.eventId,
      reasons: verdict.reasons,
      ordinary: 0,
      saved: undefined,
    }
    this.#ofKeys.set(open.key, open)
    this.#countOpened()
    changes.push(told(open, 'Opened'))
    const together = this.#openedTogether(open.feature)
    if (together.length >= Math.max(fewestTogether, timesUsual * this.#usualWithin(this.#quietMs)))
      this.#join(open, together, changes)
  }

  /** An event that did not alert: it belongs to its key's episode where the refractory period silenced it. */
  #goOn(verdict: Pick<Verdict, 'userId' | 'timestamp' | 'suppressedBy'>, changes: Episode[]): void {
    const own = this.#ofKeys.get(verdict.userId)
    if (verdict.suppressedBy === 'Refractory') {
      const open = own ?? this.#streamOf(verdict.userId)
      if (open !== undefined) this.#news(open, verdict)
    } else if (own !== undefined) {
      own.ordinary++
      if (this.#isQuiet(own)) this.#close(own, changes)
    }
  }

  #news(open: OpenOfKey | OpenOfStream, { timestamp }: Pick<Verdict, 'timestamp'>): void {
    open.events++
    open.seenAt = this.#clock
    if (timestamp !== null) open.lastTimestamp = Math.max(timestamp, open.lastTimestamp ?? timestamp)
    if (open.key === null) return
    open.ordinary = 0
    open.saved = undefined
    this.#ofKeys.delete(open.key)
    this.#ofKeys.set(open.key, open)
  }

  #isQuiet({ ordinary, seenAt }: OpenOfKey): boolean {
    return ordinary >= ordinaryEvents && this.#clock - seenAt >= this.#quietMs
  }

  #closeQuiet(changes: Episode[]): void {
    for (const open of this.#ofKeys.values()) {
      if (this.#clock - open.seenAt < patience * this.#quietMs) break
      this.#close(open, changes)
    }
    for (const open of this.#ofStream.values())
      if (this.#clock - open.seenAt >= this.#quietMs) {
        this.#ofStream.delete(open.feature)
        changes.push(told(open, 'Closed'))
      }
  }

  #close(open: OpenOfKey, changes: Episode[], partOf?: string): void {
    this.#ofKeys.delete(open.key)
    changes.push(told(open, 'Closed', partOf))
  }

  #streamOf(key: string): OpenOfStream | undefined {
    for (const open of this.#ofStream.values()) if (open.names.has(key)) return open
    return undefined
  }

  #openedTogether(feature: string): OpenOfKey[] {
    const together: OpenOfKey[] = []
    for (const open of this.#ofKeys.values())
      if (open.feature === feature && this.#clock - open.openedAt < this.#quietMs) together.push(open)
    return together
  }

  #join(last: OpenOfKey, together: readonly OpenOfKey[], changes: Episode[]): void {
    const [first] = together
    const peak = together.reduce((most, open) => (open.peakScore > most.peakScore ? open : most))
    const times = together.map(({ firstTimestamp }) => firstTimestamp).filter((time) => time !== null)
    const ends = together.map(({ lastTimestamp }) => lastTimestamp).filter((time) => time !== null)
    const stream: OpenOfStream = {
      episodeId: `stream:${last.episodeId}`,
      key: null,
      feature: last.feature,
      firstTimestamp: times.length === 0 ? null : Math.min(...times),
      lastTimestamp: ends.length === 0 ? null : Math.max(...ends),
      openedAt: first!.openedAt,
      seenAt: this.#clock,
      alerts: together.reduce((sum, { alerts }) => sum + alerts, 0),
      events: together.reduce((sum, { events }) => sum + events, 0),
      keys: together.length,
      peakScore: peak.peakScore,
      peakEventId: peak.peakEventId,
      reasons: peak.reasons,
      names: new Set(together.map(({ key }) => key)),
    }
    this.#ofStream.set(stream.feature, stream)
    changes.push(told(stream, 'Opened'))
    for (const open of together) this.#close(open, changes, stream.episodeId)
  }

  #countOpened(): void {
    if (Number.isNaN(this.#since)) this.#since = this.#clock
    this.#usual = 1 + this.#fadedUsual()
    this.#usualAt = this.#clock
  }

  #fadedUsual(): number {
    return this.#usual === 0 ? 0 : this.#usual * Math.exp(-(this.#clock - this.#usualAt) / usualMs)
  }

  /** How many episodes open in so long a time, on average. */
  #usualWithin(ms: number): number {
    const counted = 1 - Math.exp(-Math.max(ms, this.#clock - this.#since) / usualMs)
    return (this.#fadedUsual() * ms) / (usualMs * counted)
  }

  save(): Uint8Array {
    this.#saved ??= this.#save()
    return this.#saved
  }

  #save(): Uint8Array {
    let keys = ''
    const ordinary: number[] = []
    for (const open of this.#ofKeys.values()) {
      open.saved ??= JSON.stringify({ ...open, ordinary: undefined, saved: undefined })
      keys += keys === '' ? open.saved : `,${open.saved}`
      ordinary.push(open.ordinary)
    }
    const [clock, isTimed, since, usual, usualAt] = [
      this.#clock,
      this.#isTimed,
      this.#since,
      this.#usual,
      this.#usualAt,
    ]
    const streams = Array.from(this.#ofStream.values(), (open) => ({ ...open, names: [...open.names] }))
    const head = JSON.stringify({ place: this.#place, clock, isTimed, since, usual, usualAt, ordinary, streams })
    return encoder.encode(`${head.slice(0, -1)},"keys":[${keys}]}`)
  }

  /** Without bytes, as new. */
  load(bytes: Uint8Array): void {
    const saved = bytes.length === 0 ? undefined : parsed(bytes)
    this.#saved = undefined
    this.#ofKeys.clear()
    this.#ofStream.clear()
    this.#place = saved?.place
    this.#clock = saved?.clock ?? Number.NEGATIVE_INFINITY
    this.#isTimed = saved?.isTimed ?? false
    this.#since = saved?.since ?? Number.NaN
    this.#usual = saved?.usual ?? 0
    this.#usualAt = saved?.usualAt ?? Number.NaN
    if (saved === undefined) return
    for (const [i, open] of saved.keys.entries())
      this.#ofKeys.set(open.key, { ...open, ordinary: saved.ordinary[i] ?? 0, saved: undefined })
    for (const open of saved.streams) this.#ofStream.set(open.feature, { ...open, names: new Set(open.names) })
  }
}

/** How long nothing unusual must come before an episode ends. */
export function quietMsOf({ refractorySeconds }: Pick<DetectionSpec, 'refractorySeconds'>): number {
  return Math.max(shortestQuietMs, 2000 * refractorySeconds)
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

function parsed(bytes: Uint8Array): Saved {
  try {
    const saved = JSON.parse(decoder.decode(bytes)) as Saved
    if (Array.isArray(saved.keys) && Array.isArray(saved.streams)) return saved
  } catch {}
  throw new RangeError('the open episodes are damaged')
}

function addKey(open: OpenOfStream, key: string): void {
  if (open.names.has(key)) return
  open.keys++
  if (open.names.size < mostKeys) open.names.add(key)
}

function told(open: Open, change: EpisodeChange, partOf?: string): Episode {
  return {
    episodeId: open.episodeId,
    change,
    state: change === 'Closed' ? 'Closed' : 'Open',
    userId: open.key,
    firstTimestamp: open.firstTimestamp,
    lastTimestamp: open.lastTimestamp,
    alerts: open.alerts,
    events: open.events,
    keys: open.keys,
    peakScore: open.peakScore,
    peakEventId: open.peakEventId,
    reasons: open.reasons,
    ...(partOf === undefined ? undefined : { partOf }),
  }
}

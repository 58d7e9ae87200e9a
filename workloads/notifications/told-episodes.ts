import type { Notification } from '../../lib/pipeline/spec.ts'
import type { Episode } from '../detection/episode.ts'
import { isNamedBy, namePattern } from '../detection/name-pattern.ts'
import type { Message, MessageKind } from './message.ts'

export type NotificationFilter = Pick<Notification, 'minScore' | 'keys' | 'reasons' | 'repeatAfterSeconds'>

export interface ToldEpisodesOptions {
  /** What the ids of messages begin with: they are of this pipeline only. */
  readonly scope: string
  /** Milliseconds since 1970. */
  readonly wall: () => number
}

/** An episode that a receiver was told of and that is open. */
export interface Told {
  readonly episode: Episode
  /** When it was told, and when it last had news, in milliseconds since 1970. */
  readonly toldAt: number
  readonly newsAt: number
}

/** Without news for so long it is over: whoever would have closed it may have been killed. Older news is no news. */
const forgetMs = 86_400_000
/** Beyond it the one that was told first is forgotten. */
const mostTold = 10_000

/**
 * Which episodes of a partition one receiver was told of: nothing but what follows from the episodes published there, so that
 * reading some of them again tells after a restart what was told before. What `take` does is staged until `commit`.
 */
export class ToldEpisodes {
  readonly #filter: NotificationFilter
  readonly #options: ToldEpisodesOptions
  readonly #since: number
  readonly #told = new Map<string, Told>()
  /** As they were before what is staged. */
  readonly #before = new Map<string, Told | undefined>()
  /** How many times each was told again. */
  readonly #reminders = new Map<string, number>()

  constructor(filter: NotificationFilter, options: ToldEpisodesOptions) {
    this.#filter = filter
    this.#options = options
    this.#since = options.wall()
  }

  /** Those that are open. */
  get open(): Iterable<Told> {
    return this.#told.values()
  }

  get size(): number {
    return this.#told.size
  }

  /** Takes in the next change of an episode, published at that time; answers what is to be said of it. */
  take(episode: Episode, at: number): Message | undefined {
    const { episodeId } = episode
    const told = this.#told.get(episodeId)
    const isOld = this.#options.wall() - at > forgetMs
    if (episode.state === 'Closed') {
      if (told === undefined) return undefined
      this.#put(episodeId, undefined)
      return isOld ? undefined : this.#message('Closed', episode, at)
    }
    if (told !== undefined) {
      this.#put(episodeId, { ...told, episode, newsAt: at })
      return undefined
    }
    if (isOld || !passes(episode, this.#filter)) return undefined
    if (this.#told.size >= mostTold) this.#put(this.#told.keys().next().value!, undefined)
    this.#put(episodeId, { episode, toldAt: at, newsAt: at })
    return this.#message('Opened', episode, at)
  }

  #put(episodeId: string, told: Told | undefined): void {
    if (!this.#before.has(episodeId)) this.#before.set(episodeId, this.#told.get(episodeId))
    this.#set(episodeId, told)
  }

  #set(episodeId: string, told: Told | undefined): void {
    if (told !== undefined) this.#told.set(episodeId, told)
    else {
      this.#told.delete(episodeId)
      this.#reminders.delete(episodeId)
    }
  }

  commit(): void {
    this.#before.clear()
  }

  rollback(): void {
    for (const [episodeId, told] of this.#before) this.#set(episodeId, told)
    this.#before.clear()
  }

  /** What time alone brings: reminders, and the end of what had no news for long. Nothing while something is staged. */
  due(): readonly Message[] {
    if (this.#before.size > 0) return []
    const now = this.#options.wall()
    const messages: Message[] = []
    for (const [episodeId, told] of this.#told) {
      if (now - told.newsAt > forgetMs) {
        this.#set(episodeId, undefined)
        messages.push(this.#message('Closed', { ...told.episode, change: 'Closed', state: 'Closed' }, now))
      } else if (this.#isReminded(told, now)) messages.push(this.#message('StillOpen', told.episode, now))
    }
    return messages
  }

  #isReminded({ episode, toldAt }: Told, now: number): boolean {
    const { repeatAfterSeconds } = this.#filter
    if (repeatAfterSeconds === undefined) return false
    const timesBy = (time: number) => Math.max(0, Math.floor((time - toldAt) / (1000 * repeatAfterSeconds)))
    // Before this process there was another one, which told it again when it was due.
    const times = this.#reminders.get(episode.episodeId) ?? timesBy(this.#since)
    if (timesBy(now) <= times) return false
    this.#reminders.set(episode.episodeId, timesBy(now))
    return true
  }

  #message(kind: MessageKind, episode: Episode, at: number): Message {
    const times = kind === 'StillOpen' ? `/${this.#reminders.get(episode.episodeId)}` : ''
    return { id: `${this.#options.scope}/${episode.episodeId}/${wordOf[kind]}${times}`, kind, episode, at }
  }
}

const wordOf = { Opened: 'opened', StillOpen: 'still-open', Closed: 'closed' } as const

function passes(episode: Episode, { minScore, keys, reasons }: NotificationFilter): boolean {
  const { userId, peakScore, reasons: why } = episode
  // A person wrote the rule: its limit is as good a reason as any score.
  const isHigh = minScore === undefined || peakScore >= Number(minScore) || why.some(({ rule }) => rule !== undefined)
  if (!isHigh) return false
  if (keys !== undefined && (userId === null || !isNamed(userId, keys))) return false
  return (
    reasons === undefined ||
    why.some(({ feature, rule }) => isNamed(feature, reasons) || (rule !== undefined && isNamed(rule, reasons)))
  )
}

/** @param names in full, or their start followed by * */
function isNamed(name: string, names: readonly string[]): boolean {
  return names.some((one) => isNamedBy(namePattern(one), name))
}

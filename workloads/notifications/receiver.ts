import type { Message } from './message.ts'
import type { Told } from './told-episodes.ts'

/** A POST that tells messages. */
export interface OutgoingRequest {
  readonly url: string
  /** Made anew for each try: it may say until when it holds. */
  readonly body: () => string
  /** @param seconds since 1970, of this try */
  readonly headers: (seconds: number) => Readonly<Record<string, string>>
  readonly messages: readonly Message[]
}

/** How messages are told to one kind of receiver. */
export interface Receiver {
  /** So many may be told one by one in a short time; more are told together. Infinite for what groups by itself. */
  readonly mostAtOnce: number
  /** It is to be told again and again what is open, in milliseconds. */
  readonly refreshMs?: number
  /** None for a message that it does not want. @param together there are more than it is told one by one */
  requests(messages: readonly Message[], together: boolean): readonly OutgoingRequest[]
}

/** All that the receiver was told of and that is open. */
export type OpenEpisodes = () => Iterable<Told>

/** Told one by one in half a minute; whoever is on call reads no more. */
export const mostAtOnce = 5

export const json = { 'Content-Type': 'application/json; charset=utf-8' } as const

/** Parts of a list, of at most so many items. */
export function chunks<Item>(items: readonly Item[], size: number): Item[][] {
  const parts: Item[][] = []
  for (let at = 0; at < items.length; at += size) parts.push(items.slice(at, at + size))
  return parts
}

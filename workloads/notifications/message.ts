import type { Episode } from '../detection/episode.ts'

export type MessageKind = 'Opened' | 'StillOpen' | 'Closed'

/** What a receiver is told of an episode. */
export interface Message {
  /** The same each time that it is sent, after a restart too: by it a receiver knows one that it has. */
  readonly id: string
  readonly kind: MessageKind
  readonly episode: Episode
  /** When it came to be said, in milliseconds since 1970. */
  readonly at: number
}

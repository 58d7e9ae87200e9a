import type { Episode } from '../detection/episode.ts'
import { linkTo, type Subject, sinceOf, titleOf, whyOf } from './episode-text.ts'
import type { Message } from './message.ts'
import { chunks, json, type OpenEpisodes, type OutgoingRequest, type Receiver } from './receiver.ts'

export interface AlertmanagerOptions {
  readonly url: string
  readonly authorization: string | undefined
  readonly subject: Subject
  readonly open: OpenEpisodes
  /** Milliseconds since 1970. */
  readonly wall: () => number
}

const mostInOne = 200
/** What is open is told again so often, long before it would be taken for resolved. */
const refreshMs = 60_000
const firesForMs = 5 * refreshMs

/** API v2: an alert fires while its episode is open. https://github.com/prometheus/alertmanager */
export function alertmanager({ url, authorization, subject, open, wall }: AlertmanagerOptions): Receiver {
  const address = `${url.replace(/\/+$/, '')}/api/v2/alerts`
  const headers = { ...json, ...(authorization === undefined ? undefined : { Authorization: authorization }) }

  function alertOf(message: Message): object {
    const { episode, kind, at } = message
    const now = wall()
    const link = linkTo(episode, subject)
    // An event's time may lie ahead of the clock.
    const start = Math.min(episode.firstTimestamp ?? at, at, now)
    return {
      labels: labelsOf(episode, subject),
      annotations: {
        summary: titleOf({ ...message, kind: 'Opened' }, subject),
        description: `${whyOf(episode)} (${sinceOf(message)})`,
      },
      startsAt: new Date(start).toISOString(),
      endsAt: new Date(kind === 'Closed' ? now : now + firesForMs).toISOString(),
      ...(link === undefined ? undefined : { generatorURL: link }),
    }
  }
  return {
    mostAtOnce: Number.POSITIVE_INFINITY,
    refreshMs,
    /** Whatever is told, it is all that is open, and what is over. */
    requests(messages) {
      const given = new Set(messages)
      const told = new Set(messages.map(({ episode }) => episode.episodeId))
      const others = Array.from(open()).filter(({ episode }) => !told.has(episode.episodeId))
      const alerts = [
        ...messages,
        ...others.map(({ episode, toldAt }): Message => ({ id: '', kind: 'StillOpen', episode, at: toldAt })),
      ]
      return chunks(alerts, mostInOne).map(
        (some): OutgoingRequest => ({
          url: address,
          body: () => JSON.stringify(some.map(alertOf)),
          headers: () => headers,
          messages: some.filter((message) => given.has(message)),
        }),
      )
    },
  }
}

/** They say which alert it is: nothing that changes while the episode is open. */
function labelsOf({ episodeId, userId }: Episode, { namespace, pipeline }: Subject) {
  return {
    alertname: userId === null ? 'AnomalyInStream' : 'Anomaly',
    namespace,
    pipeline,
    episode: episodeId,
    ...(userId === null ? undefined : { key: userId }),
  }
}

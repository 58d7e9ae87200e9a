import { createHash } from 'node:crypto'
import {
  cut,
  linkTo,
  linkToAll,
  mostNamed,
  type Subject,
  sinceOf,
  titleOf,
  titleOfMany,
  whose,
  whyOf,
  worstFirst,
} from './episode-text.ts'
import type { Message } from './message.ts'
import { json, mostAtOnce, type OpenEpisodes, type OutgoingRequest, type Receiver } from './receiver.ts'

export interface PagerdutyOptions {
  readonly url: string
  readonly routingKey: string
  readonly subject: Subject
  readonly open: OpenEpisodes
}

export const pagerdutyUrl = 'https://events.pagerduty.com/v2/enqueue'

/** https://developer.pagerduty.com/docs/send-alert-event */
const mostInKey = 255
const mostInSummary = 1024

/** Events API v2: an episode is an incident, many at once are one. */
export function pagerduty({ url, routingKey, subject, open }: PagerdutyOptions): Receiver {
  const { namespace, pipeline } = subject
  const scope = `${namespace}/${pipeline}`
  const keyOfMany = `${scope}/many`
  /** Episodes that were told as one incident. */
  const many = new Set<string>()
  /** An earlier process may have told many. */
  let isManyOpen = true

  const requestOf = (event: object, messages: readonly Message[]): OutgoingRequest => ({
    url,
    body: () => JSON.stringify({ routing_key: routingKey, ...event }),
    headers: () => json,
    messages,
  })
  const linksOf = (link: string | undefined) =>
    link === undefined ? undefined : { links: [{ href: link, text: 'Console' }], client: 'Anomaly', client_url: link }
  const payloadOf = (summary: string, at: number, details: object) => ({
    summary: cut(summary, mostInSummary),
    source: scope,
    severity: 'error',
    timestamp: new Date(at).toISOString(),
    component: pipeline,
    group: namespace,
    class: 'anomaly',
    custom_details: details,
  })
  const dedupKey = ({ episode }: Message) => shortKey(`${scope}/${episode.episodeId}`)

  function trigger(message: Message): OutgoingRequest {
    const { episode, at } = message
    const details = { why: whyOf(episode), since: sinceOf(message), key: episode.userId, score: episode.peakScore }
    const payload = payloadOf(`${titleOf(message, subject)}: ${whyOf(episode)}`, at, details)
    const event = {
      event_action: 'trigger',
      dedup_key: dedupKey(message),
      payload,
      ...linksOf(linkTo(episode, subject)),
    }
    return requestOf(event, [message])
  }
  function triggerMany(messages: readonly Message[]): OutgoingRequest {
    for (const { episode } of messages) many.add(episode.episodeId)
    isManyOpen = true
    const worst = worstFirst(messages).slice(0, mostNamed)
    const details = Object.fromEntries(worst.map(({ episode }) => [whose(episode), whyOf(episode)]))
    const payload = payloadOf(titleOfMany(messages, subject), worst[0]!.at, details)
    return requestOf(
      { event_action: 'trigger', dedup_key: keyOfMany, payload, ...linksOf(linkToAll(subject)) },
      messages,
    )
  }
  function resolve(closed: readonly Message[]): OutgoingRequest[] {
    const alone = closed.filter(({ episode }) => !many.delete(episode.episodeId))
    const requests = alone.map((message) =>
      requestOf({ event_action: 'resolve', dedup_key: dedupKey(message) }, [message]),
    )
    const isNoneOpen = open()[Symbol.iterator]().next().done === true
    if (isManyOpen && many.size === 0 && (alone.length < closed.length || isNoneOpen)) {
      isManyOpen = false
      requests.push(requestOf({ event_action: 'resolve', dedup_key: keyOfMany }, closed))
    }
    return requests
  }
  return {
    mostAtOnce,
    requests(messages, together) {
      const closed = messages.filter(({ kind }) => kind === 'Closed')
      const others = messages.filter(({ kind, episode }) => kind !== 'Closed' && !many.has(episode.episodeId))
      const told = together && others.length > 1 ? [triggerMany(others)] : others.map(trigger)
      return closed.length === 0 ? told : [...told, ...resolve(closed)]
    },
  }
}

function shortKey(key: string): string {
  return key.length <= mostInKey ? key : createHash('sha256').update(key).digest('hex')
}

import { createHash, createHmac } from 'node:crypto'
import { linkTo, linkToAll, type Subject, sinceOf, titleOf, titleOfMany, whyOf } from './episode-text.ts'
import type { Message } from './message.ts'
import { chunks, mostAtOnce, type OutgoingRequest, type Receiver } from './receiver.ts'

export interface WebhookOptions {
  readonly url: string
  /** By which requests are signed. */
  readonly hmacKey: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly tellsClosed: boolean
  readonly subject: Subject
}

/** Of one request that tells many. */
const mostInOne = 200

const types = {
  Opened: 'com.anomaly.episode.opened',
  StillOpen: 'com.anomaly.episode.updated',
  Closed: 'com.anomaly.episode.closed',
} as const

/** CloudEvents 1.0 in the structured mode of HTTP: https://github.com/cloudevents/spec */
export function webhook({ url, hmacKey, headers, tellsClosed, subject }: WebhookOptions): Receiver {
  const { namespace, pipeline } = subject
  const source = `/apis/anomaly.com/v1alpha1/namespaces/${namespace}/anomalypipelines/${pipeline}`

  const dataOf = (message: Message) => ({
    ...message.episode,
    summary: `${titleOf(message, subject)}: ${whyOf(message.episode)} (${sinceOf(message)})`,
    link: linkTo(message.episode, subject) ?? null,
  })
  const eventOf = (type: string, id: string, at: number, data: object, key?: string | null) => ({
    specversion: '1.0',
    id,
    source,
    type,
    ...(key ? { subject: key } : undefined),
    time: new Date(at).toISOString(),
    datacontenttype: 'application/json',
    data: { namespace, pipeline, ...data },
  })
  function requestOf(event: { readonly id: string }, messages: readonly Message[]): OutgoingRequest {
    const body = JSON.stringify(event)
    return {
      url,
      body: () => body,
      messages,
      headers: (seconds) => ({
        'Content-Type': 'application/cloudevents+json; charset=utf-8',
        // A header takes no more than ASCII.
        'Idempotency-Key': encodeURI(event.id),
        ...headers,
        ...(hmacKey === undefined ? undefined : { 'Anomaly-Signature': signatureOf(body, hmacKey, seconds) }),
      }),
    }
  }
  const single = (message: Message): OutgoingRequest => {
    const { id, kind, episode, at } = message
    return requestOf(eventOf(types[kind], id, at, dataOf(message), episode.userId), [message])
  }
  const digest = (messages: readonly Message[]): OutgoingRequest => {
    const id = `${namespace}/${pipeline}/digest/${digestOf(messages)}`
    const at = Math.max(...messages.map((message) => message.at))
    const data = {
      summary: titleOfMany(messages, subject),
      link: linkToAll(subject) ?? null,
      episodes: messages.map((message) => ({ id: message.id, type: types[message.kind], ...dataOf(message) })),
    }
    return requestOf(eventOf('com.anomaly.episodes.digest', id, at, data), messages)
  }
  return {
    mostAtOnce,
    requests(messages, together) {
      const wanted = messages.filter(({ kind }) => tellsClosed || kind !== 'Closed')
      return together ? chunks(wanted, mostInOne).map(digest) : wanted.map(single)
    },
  }
}

/** `t=<seconds>,v1=<hex>`: HMAC-SHA-256 of the seconds, a dot and the body. */
export function signatureOf(body: string, key: string, seconds: number): string {
  const digest = createHmac('sha256', key).update(`${seconds}.${body}`).digest('hex')
  return `t=${seconds},v1=${digest}`
}

function digestOf(messages: readonly Message[]): string {
  const ids = messages.map(({ id }) => id).sort()
  return createHash('sha256').update(JSON.stringify(ids)).digest('hex').slice(0, 32)
}

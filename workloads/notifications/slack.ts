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
import { json, mostAtOnce, type OutgoingRequest, type Receiver } from './receiver.ts'

export interface SlackOptions {
  readonly url: string
  readonly tellsClosed: boolean
  readonly subject: Subject
}

/** Of a header and of a section: https://docs.slack.dev/reference/block-kit/blocks */
const mostInHeader = 150
const mostInSection = 3000

/** Incoming webhooks: blocks, with a text for notifications and readers of screens. */
export function slack({ url, tellsClosed, subject }: SlackOptions): Receiver {
  function requestOf(title: string, lines: readonly string[], messages: readonly Message[], link?: string) {
    const blocks = [
      { type: 'header', text: { type: 'plain_text', text: cut(title, mostInHeader) } },
      { type: 'section', text: { type: 'mrkdwn', text: cut(lines.join('\n'), mostInSection) } },
      ...(link === undefined
        ? []
        : [
            {
              type: 'actions',
              elements: [{ type: 'button', text: { type: 'plain_text', text: 'Look at it' }, url: link }],
            },
          ]),
    ]
    const body = JSON.stringify({ text: cut(escaped(`${title}: ${lines[0]}`), mostInSection), blocks })
    return { url, body: () => body, headers: () => json, messages } satisfies OutgoingRequest
  }
  const single = (message: Message): OutgoingRequest =>
    requestOf(
      titleOf(message, subject),
      [escaped(whyOf(message.episode)), escaped(sinceOf(message))],
      [message],
      linkTo(message.episode, subject),
    )
  function digest(messages: readonly Message[]): OutgoingRequest {
    const lines: string[] = []
    let length = 0
    for (const { episode } of worstFirst(messages).slice(0, mostNamed)) {
      const link = linkTo(episode, subject)
      const name = escaped(cut(whose(episode), 60))
      const line = `• ${link === undefined ? name : `<${escaped(link)}|${name}>`}: ${escaped(cut(whyOf(episode), 160))}`
      length += line.length + 1
      if (length > mostInSection - 50) break
      lines.push(line)
    }
    const left = messages.length - lines.length
    const all = left > 0 ? [...lines, `… and ${left} more`] : lines
    return requestOf(titleOfMany(messages, subject), all, messages, linkToAll(subject))
  }
  return {
    mostAtOnce,
    requests(messages, together) {
      // What became part of the whole stream's is told with that.
      const wanted = messages.filter(
        ({ kind, episode }) => kind !== 'Closed' || (tellsClosed && episode.partOf === undefined),
      )
      if (!together) return wanted.map(single)
      return wanted.length === 0 ? [] : [digest(wanted)]
    },
  }
}

/** Of Slack's own signs: https://docs.slack.dev/messaging/formatting-message-text */
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

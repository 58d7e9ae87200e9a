import { html } from 'htm/preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Verdict } from '../detection/verdict.ts'
import { formatNumber, formatScore, formatTime } from '../terminal/wording.ts'
import { useAsked } from './api.ts'
import { reasonsInWords } from './format.ts'
import { type Place, urlOf } from './place.ts'
import { MakeRule } from './yaml-offer.ts'

interface RawEventProps {
  readonly eventId: string
  readonly title: string
  /** Whether somebody chose it: then it comes into view. */
  readonly isChosen?: boolean
}

/** An event as it came, and its verdict. */
export function RawEvent({ eventId, title, isChosen = false }: RawEventProps) {
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    if (isChosen) heading.current?.focus()
  }, [eventId, isChosen])
  const path = encodeURIComponent(eventId)
  const event = useAsked<unknown>(`results/${path}/event`)
  const verdict = useAsked<Verdict>(`results/${path}`)
  return html`<section aria-labelledby="event"><h2 id="event" tabindex="-1" ref=${heading}>${title}</h2>
    ${
      event.answer === undefined
        ? html`<p class="empty">${event.error === undefined ? '…' : event.error.message}</p>`
        : html`<pre tabindex="0" aria-label="Event">${JSON.stringify(event.answer, null, 2)}</pre>`
    }
    ${verdict.answer !== undefined && html`<details><summary>Its verdict</summary><pre tabindex="0" aria-label="Verdict">${JSON.stringify(verdict.answer, null, 2)}</pre></details>`}
    ${verdict.answer !== undefined && html`<${MakeRule} verdict=${verdict.answer} />`}
  </section>`
}

interface EventTableProps {
  readonly events: readonly Verdict[] | undefined
  /** Where an event is shown as it came. */
  readonly place: Place
}

/** Events by what was made of them; each leads to how it came. */
export function EventTable({ events, place }: EventTableProps) {
  if (events === undefined) return html`<p class="empty">…</p>`
  if (events.length === 0) return html`<p class="empty">None.</p>`
  return html`<table class="rows">
    <thead><tr><th scope="col">Time (UTC)</th><th scope="col">Event</th><th scope="col" class="number">Value</th><th scope="col">Score</th><th scope="col">Why</th></tr></thead>
    <tbody>
      ${events.map(
        ({ eventId, timestamp, value, anomalyScore, isAnomaly, reasons }) => html`<tr key=${eventId}>
          <td><time>${formatTime(timestamp)}</time></td>
          <td><a href=${urlOf({ ...place, event: eventId })} aria-current=${eventId === place.event ? 'true' : undefined}>${eventId}</a></td>
          <td class="number">${formatNumber(value ?? null)}</td>
          <td class="score">${formatScore(anomalyScore)}${isAnomaly && html` <strong>alert</strong>`}</td>
          <td class="why">${reasonsInWords(reasons)}</td>
        </tr>`,
      )}
    </tbody>
  </table>`
}

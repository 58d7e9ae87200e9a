import { html } from 'htm/preact'
import { useState } from 'preact/hooks'
import type { Episode } from '../detection/episode.ts'
import type { FeedbackLabel, Said } from '../detection/feedback.ts'
import type { Reason, Verdict } from '../detection/verdict.ts'
import type { SeriesPoint } from '../history/history.ts'
import { briefReason, counted, describeReason, formatScore, formatShare, formatTime } from '../terminal/wording.ts'
import { say, useAsked } from './api.ts'
import { SeriesChart } from './chart.ts'
import { ago, alertsOver, nameOf, reasonsInWords } from './format.ts'
import { EpisodeTable } from './key-page.ts'
import type { Present } from './now-page.ts'
import { type Place, urlOf } from './place.ts'
import { EventTable, RawEvent } from './raw-event.ts'
import { Mute } from './yaml-offer.ts'

export interface EpisodeProps {
  readonly place: Place
  readonly present: Present
  readonly everyMs: number
}

const hourMs = 3_600_000

export function EpisodePage(props: EpisodeProps) {
  return props.place.id === '' ? html`<${Latest} everyMs=${props.everyMs} />` : html`<${One} ...${props} />`
}

/** Where none is chosen: those to choose from. */
function Latest({ everyMs }: { readonly everyMs: number }) {
  const { answer } = useAsked<{ readonly episodes: readonly Episode[] }>('episodes?limit=50', everyMs)
  return html`<h1>Latest episodes</h1><${EpisodeTable} named episodes=${answer?.episodes} />`
}

function One({ place, present, everyMs }: EpisodeProps) {
  const { answer: episode, error } = useAsked<Episode>(`episodes/${encodeURIComponent(place.id)}`, everyMs)
  if (episode === undefined) return html`<h1>Episode</h1><p class="empty">${error?.message ?? '…'}</p>`
  return html`
    <h1>${nameOf(episode)}</h1>
    <p class="lead">
      <strong>${episode.state === 'Open' ? 'Open' : 'Closed'}</strong>: ${alertsOver(episode)}${silenced(episode)}. It began at ${formatTime(episode.firstTimestamp)} UTC, and
      ${' '}its last event was ${ago(episode.lastTimestamp, present.now)}. Peak <span class="score">${formatScore(episode.peakScore)}</span>.
      ${episode.partOf !== undefined && html` It became part of <a href=${urlOf({ page: 'episode', id: episode.partOf })}>an episode of the stream</a>.`}
    </p>
    <${Around} episode=${episode} place=${place} everyMs=${everyMs} />
    <section aria-labelledby="why"><h2 id="why">Why</h2><${ReasonBars} reasons=${episode.reasons} /></section>
    ${
      place.event === ''
        ? html`<${RawEvent} eventId=${episode.peakEventId} title="The event with the highest score" />`
        : html`<${RawEvent} eventId=${place.event} title=${`The event ${place.event}`} isChosen />`
    }
    ${episode.userId !== null && html`<${Events} episode=${episode} place=${place} everyMs=${everyMs} />`}
    <section aria-labelledby="mute"><h2 id="mute">Is it known?</h2><${Mute} episode=${episode} now=${present.now} /></section>
    ${present.takesFeedback && html`<${Feedback} key=${episode.peakEventId} episode=${episode} />`}
    <${Before} episode=${episode} />`
}

function silenced({ events, alerts }: Episode): string {
  const more = events - alerts
  return more === 0 ? '' : `, and ${counted(more, 'event')} that the refractory period silenced`
}

interface PartProps {
  readonly episode: Episode
  readonly place: Place
  readonly everyMs: number
}

/** Observed against what was usual around the episode; for one of the stream, the alerts that it holds. */
function Around({ episode, place, everyMs }: PartProps) {
  const { userId, firstTimestamp, lastTimestamp, reasons } = episode
  const [from, to] = [firstTimestamp ?? 0, lastTimestamp ?? 0]
  const margin = Math.max(6 * hourMs, 2 * (to - from))
  const isOfKey = userId !== null
  // Keys that send seldom need a longer look back: what was usual is what came before.
  const series = useAsked<{ readonly points: readonly SeriesPoint[] }>(
    isOfKey
      ? `keys/${encodeURIComponent(userId)}/series?from=${Math.max(0, from - 14 * 24 * hourMs)}&to=${to + margin}&points=1000`
      : undefined,
    everyMs,
  )
  const feature = reasons[0]?.feature ?? ''
  const alerts = useAsked<{ readonly results: readonly Verdict[] }>(
    isOfKey
      ? undefined
      : `results?anomalies=true&reason=${encodeURIComponent(feature)}&from=${from}&to=${to + 1}&limit=100`,
    everyMs,
  )
  if (isOfKey) {
    const points = lastOf(series.answer?.points, to)
    return points === undefined
      ? html`<p class="empty">…</p>`
      : html`<${SeriesChart} points=${points} label=${`Values of ${userId} around the episode`} marked=${[from, to]} />
          <p><a href=${urlOf({ page: 'key', id: userId, hours: 0 })}>All of ${userId || 'the stream'}</a></p>`
  }
  return html`<section aria-labelledby="members"><h2 id="members">Its alerts</h2>
    <ol class="alerts">
      ${(alerts.answer?.results ?? []).map(
        (verdict) => html`<li key=${verdict.eventId}>
          <a href=${urlOf({ ...place, event: verdict.eventId })}><time>${formatTime(verdict.timestamp)}</time></a>
          <a href=${urlOf({ page: 'key', id: verdict.userId })}>${verdict.userId}</a>
          <span class="score">${formatScore(verdict.anomalyScore)}</span>
          <span class="why">${reasonsInWords(verdict.reasons)}</span>
        </li>`,
      )}
    </ol></section>`
}

/** Those of the key up to the end of the episode, whether they alerted or not. */
function Events({ episode: { userId, lastTimestamp }, place, everyMs }: PartProps) {
  const { answer } = useAsked<{ readonly results: readonly Verdict[] }>(
    `results?key=${encodeURIComponent(userId ?? '')}&to=${(lastTimestamp ?? 0) + 1}&limit=20`,
    everyMs,
  )
  return html`<section aria-labelledby="events"><h2 id="events">Its events, and those before</h2>
    <${EventTable} events=${answer?.results} place=${place} />
  </section>`
}

/** The points around the end of an episode: at most so many before it, and all after it. */
function lastOf(points: readonly SeriesPoint[] | undefined, to: number): readonly SeriesPoint[] | undefined {
  const after = points?.findIndex(({ time }) => time > to) ?? -1
  const end = after === -1 ? (points?.length ?? 0) : after
  return points?.slice(Math.max(0, end - 120))
}

function ReasonBars({ reasons }: { readonly reasons: readonly Reason[] }) {
  if (reasons.length === 0) return html`<p class="empty">No reason was given.</p>`
  return html`<ul class="bars">
    ${reasons.map(
      (reason) => html`<li>
        <span>${describeReason(reason)}</span>
        <meter aria-label=${`share of ${reason.feature}`} min="0" max="1" value=${reason.contribution}>${formatShare(reason.contribution)}</meter>
      </li>`,
    )}
  </ul>`
}

/** What whoever looks says of the alert: detection learns from it. */
function Feedback({ episode: { peakEventId, userId } }: { readonly episode: Episode }) {
  const [told, setTold] = useState('')
  const tell = async (label: FeedbackLabel, words: string, eventId = peakEventId) => {
    try {
      await say('feedback', { eventId, label })
      setTold(`Said: ${words}.`)
    } catch (error) {
      setTold(`Not taken: ${(error as Error).message}`)
    }
  }
  return html`<section aria-labelledby="feedback"><h2 id="feedback">What was it?</h2>
    <p class="choices">
      <button type="button" onClick=${() => tell('Confirmed', 'an anomaly')}>An anomaly</button>
      <button type="button" onClick=${() => tell('FalseAlarm', 'a false alarm')}>A false alarm</button>
    </p>
    <p role="status">${told}</p>
    ${userId !== null && html`<${SaidOf} userId=${userId} withdraw=${(eventId: string) => tell('Withdrawn', `what was said of ${eventId} holds no longer`, eventId)} />`}
  </section>`
}

interface SaidOfProps {
  readonly userId: string
  readonly withdraw: (eventId: string) => void
}

/** What was said of the key's events and learnt. */
function SaidOf({ userId, withdraw }: SaidOfProps) {
  const { answer } = useAsked<{ readonly feedback: readonly Said[] }>(
    `feedback?key=${encodeURIComponent(userId)}&limit=10`,
    5000,
  )
  const said = answer?.feedback ?? []
  if (said.length === 0) return
  return html`<h3>Said of this key</h3><table class="rows">
    <thead><tr><th scope="col">Said</th><th scope="col">By</th><th scope="col">What</th><th scope="col">Event</th><th scope="col">Pattern</th><td></td></tr></thead>
    <tbody>${said.map(
      ({ eventId, time, by, label, withdrawnAt, reasons }) => html`<tr key=${eventId}>
        <td>${formatTime(time)}</td><td>${by ?? '–'}</td>
        <td>${label === 'Confirmed' ? 'An anomaly' : 'A false alarm'}${withdrawnAt !== null && `, taken back ${formatTime(withdrawnAt)}`}</td>
        <td>${eventId}</td><td>${reasons.map(briefReason).join(', ')}</td>
        <td>${withdrawnAt === null && html`<button type="button" onClick=${() => withdraw(eventId)}>Take back</button>`}</td>
      </tr>`,
    )}</tbody></table>`
}

/** Episodes of the key that came before, and others for the same reason. */
function Before({ episode }: { readonly episode: Episode }) {
  const { userId, episodeId, firstTimestamp, reasons } = episode
  const key = userId === null ? '' : `key=${encodeURIComponent(userId)}&`
  const { answer } = useAsked<{ readonly episodes: readonly Episode[] }>(
    `episodes?${key}to=${firstTimestamp ?? 0}&limit=200`,
  )
  const feature = reasons[0]?.feature
  const similar = answer?.episodes.filter((one) => one.episodeId !== episodeId && one.reasons[0]?.feature === feature)
  return html`<section aria-labelledby="before"><h2 id="before">Similar before</h2>
    <${EpisodeTable} episodes=${similar?.slice(0, 10)} />
  </section>`
}

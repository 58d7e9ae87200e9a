import { html, render } from 'htm/preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Verdict } from '../detection/verdict.ts'
import type { SignIn } from '../rest/sign-in.ts'
import { type Connection, listen, Refused, setToken, useAsked } from './api.ts'
import { EpisodePage } from './episode-page.ts'
import { FlowPage } from './flow-page.ts'
import { spanChoices } from './format.ts'
import { KeyPage } from './key-page.ts'
import { NoHistory, NowPage, type Present } from './now-page.ts'
import { goTo, type Page, type Place, urlOf, usePlace } from './place.ts'
import { askSignIn, beginSignIn, endSignIn } from './sign-in.ts'
import { WhatIfPage } from './what-if-page.ts'

const names: Readonly<Record<Page, string>> = {
  now: 'Now',
  key: 'Key',
  episode: 'Episode',
  'what-if': 'What if',
  flow: 'Flow',
}
/** Pages that look at a time. */
const timed: readonly Page[] = ['now', 'key', 'what-if']
const everyMs = 2000
/** Alerts that are shown as they come. */
const mostAlerts = 30
/** However many come, the page is drawn this often. */
const drawMs = 500

function Console({ problem }: { readonly problem: string }) {
  const place = usePlace()
  const { isPaused } = place
  const [session, setSession] = useState(0)
  const { answer: present, error } = useAsked<Present>(`overview?session=${session}`, isPaused ? 0 : everyMs)
  const { alerts, connection } = useAlerts(isPaused, session)
  const needsToken = error instanceof Refused && error.status === 401
  useEffect(() => {
    document.title = `${names[place.page]}${place.id === '' ? '' : ` ${place.id}`} · ${present?.pipeline ?? 'Anomaly'}`
  })
  return html`
    <a class="skip" href="#main">Skip to the content</a>
    <header>
      <p class="name">${present?.pipeline ?? 'Anomaly'}</p>
      <nav aria-label="Pages">
        ${(Object.keys(names) as Page[]).map((page) => {
          const id = page === place.page ? place.id : ''
          return html`<a href=${urlOf({ page, id, hours: place.hours, isPaused })} aria-current=${page === place.page ? 'page' : undefined}>${names[page]}</a>`
        })}
      </nav>
      <${Spans} place=${place} />
      <p class=${`state ${isPaused ? 'paused' : connection}`} role="status">${stateInWords(isPaused, connection)}</p>
      <button type="button" aria-pressed=${isPaused} onClick=${() => goTo({ ...place, isPaused: !isPaused })}>${isPaused ? 'Go on' : 'Pause'}</button>
    </header>
    <main id="main" tabindex="-1">
      ${error !== undefined && !needsToken && html`<p class="notice" role="alert">The server does not answer. What stands here is as it was; this page goes on by itself when it is back.</p>`}
      ${needsToken ? html`<${AskToken} problem=${problem} onToken=${() => setSession(session + 1)} />` : present === undefined ? html`<p class="empty">…</p>` : pageOf(place, present, alerts, isPaused ? 0 : everyMs)}
    </main>`
}

function pageOf(place: Place, present: Present, alerts: readonly Verdict[], everyMs: number) {
  const props = { place, present, alerts, everyMs }
  switch (place.page) {
    case 'now':
      return html`<h1 class="unseen">Now</h1><${NowPage} ...${props} />`
    case 'key':
      return present.keepsHistory ? html`<${KeyPage} ...${props} />` : html`<h1>Key</h1><${NoHistory} />`
    case 'episode':
      return present.keepsHistory ? html`<${EpisodePage} ...${props} />` : html`<h1>Episode</h1><${NoHistory} />`
    case 'what-if':
      return present.keepsHistory ? html`<${WhatIfPage} ...${props} />` : html`<h1>What if</h1><${NoHistory} />`
    case 'flow':
      return html`<${FlowPage} ...${props} />`
  }
}

/** The time that is looked at, where a page has one. */
function Spans({ place }: { readonly place: Place }) {
  if (!timed.includes(place.page)) return null
  return html`<nav aria-label="Time" class="spans">
    ${spanChoices(place.hours).map(
      ([hours, name]) =>
        html`<a href=${urlOf({ ...place, hours, offset: 0 })} aria-current=${hours === place.hours ? 'true' : undefined}>${name}</a>`,
    )}
  </nav>`
}

function stateInWords(isPaused: boolean, connection: Connection): string {
  if (isPaused) return 'paused'
  return { connecting: 'connecting', live: 'live', lost: 'disconnected' }[connection]
}

/** The alerts as they come; drawn now and then, however many there are. */
function useAlerts(isPaused: boolean, session: number) {
  const [alerts, setAlerts] = useState<readonly Verdict[]>([])
  const [connection, setConnection] = useState<Connection>('connecting')
  const waiting = useRef<string[]>([])
  useEffect(() => {
    if (isPaused) return
    const timer = setInterval(() => {
      if (waiting.current.length === 0) return
      const fresh = waiting.current.splice(0).slice(-mostAlerts)
      const read = fresh.map((json) => JSON.parse(json) as Verdict).reverse()
      setAlerts((known) => [...read, ...known].slice(0, mostAlerts))
    }, drawMs)
    const leave = listen(`stream?only=alert`, {
      onEvent: ({ type, json }) => {
        if (type !== 'alert') return
        waiting.current.push(json)
        if (waiting.current.length > 10 * mostAlerts) waiting.current.splice(0, 9 * mostAlerts)
      },
      onState: setConnection,
    })
    return () => {
      clearInterval(timer)
      leave()
    }
  }, [isPaused, session])
  return { alerts, connection }
}

interface AskTokenProps {
  readonly onToken: () => void
  /** Why the last attempt failed. */
  readonly problem: string
}

function AskToken({ onToken, problem }: AskTokenProps) {
  const [signIn, setSignIn] = useState<SignIn | undefined>()
  const [told, setTold] = useState(problem)
  useEffect(() => {
    const end = new AbortController()
    askSignIn(end.signal).then(setSignIn, (error: Error) => end.signal.aborted || setTold(error.message))
    return () => end.abort()
  }, [])
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const given = new FormData(event.target as HTMLFormElement).get('token')
    setToken(String(given))
    onToken()
  }
  const notice = told === '' ? null : html`<p class="notice" role="alert">${told}</p>`
  if (signIn !== undefined)
    return html`<div class="token">
      <h1>Sign in</h1>
      ${notice}
      <p>The API asks who you are. What it is told is kept in this page only, and gone with it.</p>
      <button type="button" onClick=${() => beginSignIn(signIn)}>Sign in</button>
    </div>`
  return html`<form class="token" onSubmit=${submit}>
    <h1>A token is needed</h1>
    ${notice}
    <p>The API asks for a bearer token. It is kept in this page only, and gone with it.</p>
    <label>Token <input name="token" type="password" autocomplete="off" required /></label>
    <button type="submit">Go on</button>
  </form>`
}

const problem = await endSignIn().then(
  (token) => {
    if (token !== undefined) setToken(token)
    return ''
  },
  (error: Error) => `Signing in failed: ${error.message}`,
)
render(html`<${Console} problem=${problem} />`, document.body)

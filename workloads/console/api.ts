import { useEffect, useState } from 'preact/hooks'

/** Where authentication is on; kept in memory only. */
let token: string | undefined

export function setToken(given: string): void {
  token = given
}

export class Refused extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

function headers(): Record<string, string> {
  return token === undefined ? {} : { Authorization: `Bearer ${token}` }
}

/** @throws Refused, or TypeError where nobody answers */
async function ask<Answer>(path: string, signal: AbortSignal): Promise<Answer> {
  const response = await fetch(`/api/v1/${path}`, { headers: headers(), signal })
  if (response.ok) return (await response.json()) as Answer
  throw await refusalOf(response)
}

/** @throws Refused, or TypeError where nobody answers */
export async function say(path: string, body: object): Promise<void> {
  const response = await fetch(`/api/v1/${path}`, {
    method: 'POST',
    headers: { ...headers(), 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw await refusalOf(response)
}

async function refusalOf(response: Response): Promise<Refused> {
  const problem = (await response.json().catch(() => ({}))) as { readonly detail?: string }
  return new Refused(response.status, problem.detail ?? response.statusText)
}

export interface Asked<Answer> {
  readonly answer: Answer | undefined
  /** Why there is none, or none that is new. */
  readonly error: Error | undefined
}

/** What the API answers to a path, asked again every so often; undefined asks nothing. */
export function useAsked<Answer>(path: string | undefined, everyMs = 0): Asked<Answer> {
  const [state, setState] = useState<Asked<Answer> & { readonly path: string | undefined }>({
    path,
    answer: undefined,
    error: undefined,
  })
  useEffect(() => {
    if (path === undefined) return
    const end = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const turn = async () => {
      try {
        const answer = await ask<Answer>(path, end.signal)
        setState({ path, answer, error: undefined })
      } catch (error) {
        if (end.signal.aborted) return
        setState((former) => ({
          path,
          answer: former.path === path ? former.answer : undefined,
          error: error as Error,
        }))
      }
      if (everyMs > 0 && !end.signal.aborted) timer = setTimeout(turn, everyMs)
    }
    void turn()
    return () => {
      end.abort()
      clearTimeout(timer)
    }
  }, [path, everyMs])
  return state.path === path ? state : { answer: undefined, error: undefined }
}

export type Connection = 'connecting' | 'live' | 'lost'

export interface LiveEvent {
  readonly type: string
  readonly json: string
}

const againMs = 2000

/** Tells of server-sent events until it is ended; comes again when the stream breaks off. */
export function listen(
  path: string,
  { onEvent, onState }: { onEvent: (event: LiveEvent) => void; onState: (state: Connection) => void },
): () => void {
  const end = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const turn = async () => {
    try {
      const response = await fetch(`/api/v1/${path}`, { headers: headers(), signal: end.signal })
      if (!response.ok || response.body === null) throw new Refused(response.status, response.statusText)
      onState('live')
      await read(response.body.pipeThrough(new TextDecoderStream()), onEvent)
    } catch {}
    if (end.signal.aborted) return
    onState('lost')
    timer = setTimeout(turn, againMs)
  }
  void turn()
  return () => {
    end.abort()
    clearTimeout(timer)
  }
}

/** The events of a stream: blank lines part them, and each has its type before its data, a line each. */
async function read(stream: ReadableStream<string>, onEvent: (event: LiveEvent) => void): Promise<void> {
  const reader = stream.getReader()
  let rest = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    const frames = (rest + value).split('\n\n')
    rest = frames.pop() ?? ''
    for (const frame of frames) {
      const match = /^event: (.*)\ndata: (.*)$/.exec(frame)
      if (match !== null) onEvent({ type: match[1] ?? '', json: match[2] ?? '' })
    }
  }
}

import { EventSourceParserStream } from 'eventsource-parser/stream'
import { AppError, messageOf } from '../../lib/errors.ts'
import { backoff, sleep } from '../../lib/time.ts'

export interface FollowOptions {
  readonly token?: string | undefined
  /** Types of events; all if absent. */
  readonly only?: readonly string[] | undefined
  readonly onEvent: (type: string, json: string) => void
  /** A line for people, when the stream begins, breaks off and goes on. */
  readonly say: (note: string) => void
  readonly signal: AbortSignal
}

/** Far more than any event has. */
const maxEventCharacters = 8 * 2 ** 20

/**
 * Follows the stream of events of a detect API until the signal comes, whatever happens to the connection.
 * @throws AppError where the address or the token is refused
 */
export async function followStream(address: string, options: FollowOptions): Promise<void> {
  const { say, signal } = options
  const url = streamUrl(address, options.only ?? [])
  let hasBegun = false
  for (let failures = 0; !signal.aborted; ) {
    let problem = 'the stream ended'
    try {
      const ended = await follow(url, options, () => {
        say(hasBegun ? `watching ${url.origin} again` : `watching ${url.origin}; Ctrl-C ends it`)
        hasBegun = true
        failures = 0
      })
      problem = ended ?? problem
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof AppError && !error.retriable) throw error
      problem = reasonOf(error)
    }
    if (signal.aborted) return
    if (++failures === 1) say(`${url.origin}: ${problem}; trying again; verdicts of meanwhile are not shown`)
    await sleep(backoff(failures, { baseMs: 250, maxMs: 5000 }), { signal })
  }
}

/** What the server said at the end of the stream. */
async function follow(url: URL, options: FollowOptions, onBegin: () => void): Promise<string | undefined> {
  const { token, onEvent, signal } = options
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` }
  const response = await fetch(url, { headers, signal })
  if (response.status !== 200) throw await refusal(response, url)
  onBegin()
  const events = response
    .body!.pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream({ maxBufferSize: maxEventCharacters }))
  let end: string | undefined
  for await (const { event = 'message', data } of events) {
    if (event === 'end') end = messageIn(data)
    else onEvent(event, data)
  }
  return end
}

function streamUrl(address: string, only: readonly string[]): URL {
  if (!/^https?:\/\//.test(address) || !URL.canParse(address))
    throw new AppError('InvalidArgument', `--url: ${address} must be a URL such as http://localhost:8080`)
  const url = new URL('/api/v1/stream', address)
  for (const type of only) url.searchParams.append('only', type)
  return url
}

async function refusal(response: Response, url: URL): Promise<AppError> {
  const text = (await response.text().catch(() => '')).slice(0, 2000)
  const passes = response.status >= 500 || response.status === 429
  return new AppError(
    passes ? 'Unavailable' : 'InvalidArgument',
    `${url.origin}${url.pathname}: answered ${response.status}: ${messageIn(text)}`,
  )
}

function messageIn(text: string): string {
  try {
    const { detail, message } = JSON.parse(text) as { detail?: unknown; message?: unknown }
    return String(detail ?? message ?? text)
  } catch {
    return text.slice(0, 200)
  }
}

/** fetch says only that it failed, and what failed under it. */
function reasonOf(error: unknown): string {
  return messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error)
}

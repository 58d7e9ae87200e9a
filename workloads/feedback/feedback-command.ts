import { open } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { AppError, messageOf } from '../../lib/errors.ts'
import type { FeedbackLabel } from '../detection/feedback.ts'
import { lineOfFile } from '../settings/text-file.ts'

export interface FeedbackArguments {
  readonly events: readonly string[]
  readonly label: FeedbackLabel
  readonly url: string
  readonly input?: string | undefined
  readonly tokenFile?: string | undefined
}

/** Sends what is said, one after the other; ends with the first that is refused. @throws AppError */
export async function feedbackCommand({ events, label, url: to, input, tokenFile }: FeedbackArguments): Promise<void> {
  if (events.length === 0 && input === undefined)
    throw new AppError('InvalidArgument', 'Nothing is said of any event: name events, or an --input')
  const url = URL.canParse('/api/v1/feedback', to) ? new URL('/api/v1/feedback', to) : undefined
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new AppError('InvalidArgument', `--url: ${to} must be a URL such as http://localhost:8080`)
  const headers: Record<string, string> = { 'Content-Type': 'application/json' }
  if (tokenFile !== undefined) headers.Authorization = `Bearer ${lineOfFile(tokenFile)}`
  let said = 0

  async function say(what: string, body: object): Promise<void> {
    const options = { method: 'POST', headers, body: JSON.stringify({ ...body, label }) }
    const response = await fetch(url!, options).catch((error: unknown) => {
      throw new AppError('Unavailable', `${url}: cannot be reached: ${messageOf((error as Error).cause ?? error)}`)
    })
    const text = await response.text()
    if (response.status === 202) said++
    else {
      const code = response.status === 404 ? 'NotFound' : response.status >= 500 ? 'Unavailable' : 'InvalidArgument'
      throw new AppError(
        code,
        `${what}: ${detailOf(text) ?? `${url} answered ${response.status}`}; ${said} before it are stored`,
      )
    }
  }

  for (const eventId of events) await say(eventId, { eventId })
  if (input !== undefined) {
    let line = 0
    for await (const text of await linesOf(input)) {
      line++
      if (text.trim() === '') continue
      await say(`${input}:${line}`, { verdict: verdictIn(text, `${input}:${line}`) })
    }
  }
  process.stderr.write(`${said} ${said === 1 ? 'event' : 'events'}: ${label}\n`)
}

async function linesOf(path: string): Promise<AsyncIterable<string>> {
  if (path === '-') return createInterface({ input: process.stdin })
  const file = await open(path).catch((error: unknown) => {
    throw new AppError('InvalidArgument', `--input ${path}: ${messageOf(error)}`)
  })
  return file.readLines()
}

function verdictIn(text: string, place: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new AppError('InvalidArgument', `${place}: no JSON`, { cause: error })
  }
}

/** Of a problem+json. */
function detailOf(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { detail?: string }).detail
  } catch {
    return undefined
  }
}

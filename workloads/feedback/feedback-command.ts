import { open } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { AppError, messageOf } from '../../lib/errors.ts'
import type { FeedbackLabel } from '../detection/feedback.ts'
import { feedbackApi } from './feedback-api.ts'

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
  const ask = feedbackApi({ url: to, tokenFile })
  let said = 0

  async function say(what: string, body: object): Promise<void> {
    await ask({ body: { ...body, label } }).catch((error: unknown) => {
      throw error instanceof AppError && error.code !== 'Unavailable'
        ? new AppError(error.code, `${what}: ${error.message}; ${said} before it are stored`, { cause: error })
        : error
    })
    said++
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

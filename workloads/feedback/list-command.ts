import { AppError } from '../../lib/errors.ts'
import type { FeedbackLabel, Said } from '../detection/feedback.ts'
import { type ApiArguments, feedbackApi } from './feedback-api.ts'
import { saidTable } from './said-table.ts'

export interface ListArguments extends ApiArguments {
  readonly key?: string | undefined
  readonly label?: FeedbackLabel | undefined
  readonly limit: number
  readonly json: boolean
}

const mostOnPage = 1000

/** Prints what was said of events, newest first. @throws AppError */
export async function listCommand({ key, label, limit, json, ...api }: ListArguments): Promise<void> {
  if (!(Number.isInteger(limit) && limit > 0))
    throw new AppError('InvalidArgument', `--limit ${limit}: must be a whole number above 0`)
  const ask = feedbackApi(api)
  const said: Said[] = []
  let cursor: string | undefined
  do {
    const query = { key, label, cursor, limit: Math.min(mostOnPage, limit - said.length) }
    const page = JSON.parse(await ask({ query })) as {
      readonly feedback: readonly Said[]
      readonly next: string | null
    }
    said.push(...page.feedback)
    cursor = page.next ?? undefined
  } while (cursor !== undefined && said.length < limit)
  process.stdout.write(json ? said.map((one) => `${JSON.stringify(one)}\n`).join('') : saidTable(said))
  if (cursor !== undefined) process.stderr.write(`There is more: raise --limit ${limit}\n`)
}

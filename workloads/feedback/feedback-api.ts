import { AppError, messageOf } from '../../lib/errors.ts'
import { lineOfFile } from '../settings/text-file.ts'

export interface ApiArguments {
  readonly url: string
  readonly tokenFile?: string | undefined
}

interface Question {
  /** What is said; a list is asked for if absent. */
  readonly body?: object
  /** Of the list. */
  readonly query?: Readonly<Record<string, string | number | undefined>>
}

/**
 * Asks the feedback of an API, and gives the answer as text.
 * @throws AppError InvalidArgument for what is no address; the answer rejects where it is a refusal
 */
export function feedbackApi({ url: to, tokenFile }: ApiArguments): (question: Question) => Promise<string> {
  const url = URL.canParse('/api/v1/feedback', to) ? new URL('/api/v1/feedback', to) : undefined
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new AppError('InvalidArgument', `--url: ${to} must be a URL such as http://localhost:8080`)
  const headers: Record<string, string> = { 'Content-Type': 'application/json' }
  if (tokenFile !== undefined) headers.Authorization = `Bearer ${lineOfFile(tokenFile)}`
  return async ({ body, query = {} }) => {
    const address = new URL(url)
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) address.searchParams.set(name, String(value))
    const options = body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) }
    const response = await fetch(address, options).catch((error: unknown) => {
      throw new AppError('Unavailable', `${url}: cannot be reached: ${messageOf((error as Error).cause ?? error)}`)
    })
    const text = await response.text()
    if (response.ok) return text
    const code = response.status === 404 ? 'NotFound' : response.status >= 500 ? 'Unavailable' : 'InvalidArgument'
    throw new AppError(code, detailOf(text) ?? `${url} answered ${response.status}`)
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

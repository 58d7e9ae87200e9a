import { Agent, request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { AppError, messageOf } from '../../lib/errors.ts'
import { backoff, sleep } from '../../lib/time.ts'
import type { Answers, Destination } from './destination.ts'

const attempts = 10
const answerWithinMs = 30_000

/** The batch route of the REST API. @throws AppError InvalidArgument where the address is none */
export function restDestination(to: string, say: (note: string) => void): Destination {
  if (!/^https?:\/\//.test(to) || !URL.canParse(to))
    throw new AppError('InvalidArgument', `--to: ${to} must be a URL such as http://localhost:8080, or -`)
  const url = new URL('/api/v1/detect/batch', to)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  return {
    async send(events, signal) {
      for (let attempt = 1; ; attempt++) {
        try {
          return answersOf(await post(url, agent, `${events.join('\n')}\n`), url)
        } catch (error) {
          if (!(error instanceof AppError && error.retriable) || attempt === attempts || signal.aborted) throw error
          if (attempt === 1) say(`${error.message}; trying again`)
          await sleep(backoff(attempt, { baseMs: 200, maxMs: 5000 }), { signal })
        }
      }
    },
    close: () => agent.destroy(),
  }
}

function post(url: URL, agent: Agent, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-ndjson', 'Content-Length': Buffer.byteLength(body) },
    }
    const request = url.protocol === 'https:' ? httpsRequest(url, options) : httpRequest(url, { ...options, agent })
    request.on('error', (error) =>
      reject(new AppError('Unavailable', `${url.origin}: ${messageOf(error)}`, { cause: error })),
    )
    request.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
      })
      response.on('error', (error) =>
        reject(new AppError('Unavailable', `${url.origin}: ${messageOf(error)}`, { cause: error })),
      )
      response.on('end', () => {
        const status = response.statusCode ?? 0
        if (status === 200) resolve(text)
        else {
          const retriable = status >= 500 || status === 429
          reject(
            new AppError(
              retriable ? 'Unavailable' : 'InvalidArgument',
              `${url}: answered ${status}: ${detailOf(text)}`,
            ),
          )
        }
      })
    })
    request.setTimeout(answerWithinMs, () => request.destroy(new Error(`no answer within ${answerWithinMs / 1000} s`)))
    request.end(body)
  })
}

function detailOf(text: string): string {
  try {
    return String((JSON.parse(text) as { detail?: unknown }).detail ?? text)
  } catch {
    return text.slice(0, 200)
  }
}

/** @throws AppError InvalidArgument where the answer is none of the detect API */
function answersOf(answer: string, url: URL): Answers {
  let alerts = 0
  const refused: string[] = []
  try {
    for (const line of answer.split('\n')) {
      if (line === '') continue
      const outcome = JSON.parse(line) as { isAnomaly?: boolean; reason?: string }
      if (outcome.isAnomaly === undefined) refused.push(outcome.reason ?? 'unknown')
      else if (outcome.isAnomaly) alerts++
    }
  } catch (error) {
    throw new AppError('InvalidArgument', `${url}: answered what is no verdict: ${answer.slice(0, 60)}`, {
      cause: error,
    })
  }
  return { alerts, refused }
}

import { AppError } from '../lib/errors.ts'
import { readBounded } from './runtime/bounded-body.ts'

/** What a pod answers to a GET; rejects when that does not come in time, or is too long. */
export type AskPod = (url: string, signal: AbortSignal) => Promise<string>

/** What pods have to say is shorter by far; whoever says more is not one of ours. */
const longestAnswer = 1 << 20
/** However many pods lie at the same time, no more than so many answers are held. */
const askedAtOnce = 16

/** A client of pods, which trusts none of them. `accepts` says which HTTP statuses are an answer. */
export function createPodClient(accepts: (status: number) => boolean = (status) => status === 200): AskPod {
  const waiting: (() => void)[] = []
  let asked = 0

  async function ask(url: string, signal: AbortSignal): Promise<string> {
    const response = await fetch(url, { signal, redirect: 'error' })
    const { body, status } = response
    if (!accepts(status) || body === null) {
      await body?.cancel()
      throw new AppError('Unavailable', `Cannot ask ${url}: it answers ${status}`)
    }
    return (await readBounded(body, longestAnswer, `ask ${url}`)).toString('utf8')
  }

  return async (url, signal) => {
    if (asked >= askedAtOnce) await new Promise<void>((resolve) => waiting.push(resolve))
    else asked += 1
    try {
      signal.throwIfAborted()
      return await ask(url, signal)
    } finally {
      // Who waits takes the place over.
      const next = waiting.shift()
      if (next === undefined) asked -= 1
      else next()
    }
  }
}

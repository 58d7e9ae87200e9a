import { readBounded } from './bounded-body.ts'
import { AppError } from './errors.ts'

/** What a pod answers to a GET; rejects when that does not come in time, or is too long. */
export type AskPod = (url: string) => Promise<string>

export interface PodClientOptions {
  readonly timeoutMs: number
  /** Which HTTP statuses are an answer. */
  readonly accepts?: (status: number) => boolean
}

/** What pods have to say is shorter by far; whoever says more is not one of ours. */
const longestAnswer = 512 << 10
/** However many pods lie at the same time, no more than so many answers are held: 64 MiB. */
const askedAtOnce = 128

/** A client of pods, which trusts none of them. */
export function createPodClient({ timeoutMs, accepts = (status) => status === 200 }: PodClientOptions): AskPod {
  const waiting: (() => void)[] = []
  let asked = 0

  async function ask(url: string): Promise<string> {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), redirect: 'error' })
    const { body, status } = response
    if (!accepts(status) || body === null) {
      await body?.cancel()
      throw new AppError('Unavailable', `Cannot ask ${url}: it answers ${status}`)
    }
    return (await readBounded(body, longestAnswer, `ask ${url}`)).toString('utf8')
  }

  return async (url) => {
    if (asked >= askedAtOnce) await new Promise<void>((resolve) => waiting.push(resolve))
    else asked += 1
    try {
      return await ask(url)
    } finally {
      // Who waits takes the place over.
      const next = waiting.shift()
      if (next === undefined) asked -= 1
      else next()
    }
  }
}

import { backoff, sleep } from '../time.ts'
import { failureOf, type KafkaFailure } from './errors.ts'

/** How long a broker may ask for a moment. */
const passingMs = 10_000

/** Repeats what changes nothing by being repeated, where the broker only asks for a moment. */
export async function retryPassing<T>(
  attempt: () => Promise<T>,
  options: { readonly on?: readonly KafkaFailure[]; readonly signal?: AbortSignal } = {},
): Promise<T> {
  const { on = ['Coordinator', 'Passing'], signal } = options
  const end = performance.now() + passingMs
  for (let failures = 1; ; failures++) {
    try {
      return await attempt()
    } catch (error) {
      if (performance.now() > end || signal?.aborted || !on.includes(failureOf(error))) throw error
      await sleep(backoff(failures, { baseMs: 5, maxMs: 1000 }), { signal })
    }
  }
}

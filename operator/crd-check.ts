import { messageOf } from '../lib/errors.ts'
import type { Logger } from '../lib/log.ts'
import { sleep } from '../lib/time.ts'
import type { KubeClient } from './runtime/kube-client.ts'
import { crdProblem } from './served-crd.ts'

export interface CrdCheck {
  /** What keeps this version from working with the CRD as it was last seen. */
  problem(): string | undefined
  /** Looks at it; asks until the API server says how it is. */
  look(): Promise<void>
  /** Looks again and again, until nothing is wrong with it. */
  settled(): Promise<void>
}

const retryMs = 1_000
const lookAgainMs = 10_000

export function createCrdCheck(
  client: KubeClient,
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): CrdCheck {
  let problem: string | undefined = 'the CRD was not looked at yet'

  async function look(): Promise<void> {
    const before = problem
    while (!signal.aborted) {
      try {
        problem = await crdProblem(client, signal)
        break
      } catch (error) {
        log.warn({ error: messageOf(error) }, 'cannot read the CRD; trying again')
        await sleep(retryMs, { signal })
      }
    }
    if (problem !== undefined && problem !== before) log.error({ problem }, 'cannot work with this CRD')
  }

  return {
    problem: () => problem,
    look,
    async settled() {
      while (!signal.aborted && problem !== undefined) {
        await sleep(lookAgainMs, { signal })
        await look()
      }
    },
  }
}

import { setTimeout as sleep } from 'node:timers/promises'

/** Tries an assertion until it holds; after `timeoutMs` it fails with the assertion's own error. */
export async function eventually(assertion: () => unknown, timeoutMs = 120_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      await assertion()
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
    }
    await sleep(20)
  }
}

/** Something that is built or downloaded once and kept. */
export interface SetUpStep {
  readonly name: string
  isDone(): Promise<boolean>
  make(): Promise<unknown>
}

/** The steps that are not done yet, in their order. */
export async function missingSteps(steps: readonly SetUpStep[]): Promise<SetUpStep[]> {
  const done = await Promise.all(steps.map((step) => step.isDone()))
  return steps.filter((_, index) => !done[index])
}

/**
 * Makes one after the other: a build takes every core by itself. Prints which of how many it is at, and for how long, at
 * least every `everyMs`. The first that cannot be made ends it with an error.
 */
export async function setUp(
  steps: readonly SetUpStep[],
  { print, everyMs = 30_000 }: { readonly print: (line: string) => void; readonly everyMs?: number },
): Promise<void> {
  for (const [index, { name, make }] of steps.entries()) {
    const which = `set-up ${index + 1} of ${steps.length}: ${name}`
    const began = performance.now()
    const seconds = (): string => `${Math.round((performance.now() - began) / 1000)} s`
    print(`${which} …`)
    const timer = setInterval(() => print(`${which} … ${seconds()}`), everyMs)
    try {
      await make()
    } catch (error) {
      throw new Error(`${which} failed after ${seconds()}. ${error instanceof Error ? error.message : error}`, {
        cause: error,
      })
    } finally {
      clearInterval(timer)
    }
    print(`${which}, done in ${seconds()}`)
  }
}

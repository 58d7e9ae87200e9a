import mocha from 'mocha'

/** How the tests of one process ended; it goes to the process that started it. */
export interface TestCounts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** Mocha's dots and failures, and the counts for the runner. */
class Reporter extends mocha.reporters.Dot {
  constructor(runner: mocha.Runner, options: mocha.MochaOptions) {
    super(runner, options)
    runner.once(mocha.Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures, pending } = this.stats
      process.send?.({ passed: passes, failed: failures, skipped: pending } satisfies TestCounts)
    })
  }
}

// biome-ignore lint/style/noDefaultExport: mocha wants it
export default Reporter

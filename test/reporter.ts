import mocha from 'mocha'

/** Mocha's dots, then one line that scripts can read: `N passed, N failed, N skipped`. */
class Reporter extends mocha.reporters.Dot {
  constructor(runner: mocha.Runner, options: mocha.MochaOptions) {
    super(runner, options)
    runner.once(mocha.Runner.constants.EVENT_RUN_END, () => {
      // After whatever the dots print at the end themselves.
      const { passes, failures, pending } = this.stats
      const skipped = pending > 0 ? `, ${pending} skipped` : ''
      process.once('exit', () => process.stdout.write(`${passes} passed, ${failures} failed${skipped}\n`))
    })
  }
}

// biome-ignore lint/style/noDefaultExport: mocha wants it
export default Reporter

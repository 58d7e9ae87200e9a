import { simulate, traces } from './lag-policy/simulate.ts'

/** A JSON line for each trace: time over the target lag, number of rebalances, replica-hours, policy by policy. */

for (const trace of traces)
  process.stdout.write(`${JSON.stringify({ what: `lag policy: ${trace.name}`, ...simulate(trace) })}\n`)

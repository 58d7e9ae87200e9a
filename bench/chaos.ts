import { parseArgs } from 'node:util'
import { runChaos } from './chaos/run-chaos.ts'

/**
 * Consumers, inference and API under random faults, `--minutes 1 --seed 1 --brokers 1`: each event must have one verdict,
 * in order, as Kafka's own Java client reads them. With `--brokers 3` brokers are killed as well. Prints what was done and counted; exit code 1 where something was not exact.
 */
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    brokers: { type: 'string', default: '1' },
  },
})
const began = performance.now()
const result = await runChaos({
  seed: Number(values.seed),
  seconds: 60 * Number(values.minutes),
  brokers: values.brokers === '3' ? 3 : 1,
  onFault: (name) => console.error(`${((performance.now() - began) / 1000).toFixed(0)} s: ${name}`),
  onStuck: console.error,
})
console.log(JSON.stringify({ chaos: result.isExact ? 'exact' : 'not exact', ...result }))
process.exit(result.isExact ? 0 : 1)

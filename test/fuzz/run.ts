import { parseArgs } from 'node:util'
import { allFuzzes } from './all.ts'
import { runFuzz } from './fuzz.ts'

/** `npm run fuzz -- --minutes 10 --seed 7 --only csv`: tries inputs of every kind, or of one, and says how many. */

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now()) },
    only: { type: 'string' },
    from: { type: 'string', default: '0' },
  },
})
const all = await allFuzzes()
const chosen = all.filter(({ name }) => values.only === undefined || values.only === name)
const seconds = 60 * Number(values.minutes)
if (chosen.length === 0 || !(seconds > 0)) {
  process.stderr.write(`--only one of ${all.map(({ name }) => name).join(', ')}; --minutes above 0\n`)
  process.exit(2)
}
process.stdout.write(`seed ${values.seed}, ${values.minutes} min each\n`)
for (const fuzz of chosen) {
  try {
    const count = await runFuzz(fuzz, { seconds, seed: values.seed, from: Number(values.from) })
    process.stdout.write(`${fuzz.name}: ${count.toLocaleString('en')} inputs\n`)
  } catch (error) {
    process.stdout.write(`${fuzz.name}: FAILED at ${error instanceof Error ? error.message : error}\n`)
    if (error instanceof Error && error.cause instanceof Error) process.stdout.write(`${error.cause.stack}\n`)
    process.exitCode = 1
  }
}

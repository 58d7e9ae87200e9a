import { allFuzzes } from '../fuzz/all.ts'
import { runFuzz } from '../fuzz/fuzz.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
const seconds = Number(process.env.FUZZ_SECONDS ?? 60)

/** The same inputs every time, so that what fails is of the change at hand; FUZZ_SEED tries others. */
const seed = process.env.FUZZ_SEED ?? '1'
const all = await allFuzzes()

;(skipped ? describe.skip : describe)('Random inputs', function () {
  this.timeout(0)
  for (const fuzz of all)
    it(`break nothing: ${fuzz.name}`, async () => {
      await runFuzz(fuzz, { seconds, seed })
    })
})

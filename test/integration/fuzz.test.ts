import { allFuzzes } from '../fuzz/all.ts'
import { runFuzz } from '../fuzz/fuzz.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
const seconds = Number(process.env.FUZZ_SECONDS ?? 60)

/** Another seed every time: what fails says how to try it again. */
const seed = String(Date.now())
const all = await allFuzzes()

;(skipped ? describe.skip : describe)('Random inputs', function () {
  this.timeout(0)
  for (const fuzz of all)
    it(`break nothing: ${fuzz.name}`, async () => {
      await runFuzz(fuzz, { seconds, seed })
    })
})

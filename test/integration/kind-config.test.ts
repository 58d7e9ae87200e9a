import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('kind-config.yaml', () => {
  it("passes kind's own strict decoding and validation", async () => {
    const cwd = join(import.meta.dirname, '../kind')
    const outcome = await promisify(execFile)('go', ['test', '-count=1', './...'], { cwd }).then(
      ({ stdout }) => stdout,
      (error) => error.stdout || error.message,
    )
    expect(outcome, outcome).to.match(/^ok\s/)
  })
})

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { closingLine, failuresOf, type Job, type Outcome, runJobs } from './run-jobs.ts'
import { runMocha } from './run-mocha.ts'

const job = (name: string): Job => ({ name, files: [name] })
const outcomeOf = (name: string, counts: Partial<Outcome> = {}): Outcome => ({
  name,
  passed: 1,
  failed: 0,
  skipped: 0,
  seconds: 0,
  output: '',
  ...counts,
})

describe('runJobs()', () => {
  it('begins with those that took longest, and with those that nobody has timed before them', async () => {
    const began: string[] = []
    const run = async ({ name }: Job): Promise<Outcome> => {
      began.push(name)
      return outcomeOf(name)
    }
    const lastSeconds = { short: 1, long: 60 }
    await runJobs(['short', 'new', 'long'].map(job), { atOnce: 1, lastSeconds, run, ended: () => {} })
    expect(began).to.deep.equal(['new', 'long', 'short'])
  })

  it('runs no more than so many at once, and all of them', async () => {
    let running = 0
    let most = 0
    const run = async ({ name }: Job): Promise<Outcome> => {
      running += 1
      most = Math.max(most, running)
      await new Promise(setImmediate)
      running -= 1
      return outcomeOf(name)
    }
    const names = Array.from({ length: 7 }, (_, i) => `file-${i}`)
    const outcomes = await runJobs(names.map(job), { atOnce: 3, lastSeconds: {}, run, ended: () => {} })
    expect(most).to.equal(3)
    expect(outcomes.map(({ name }) => name)).to.have.members(names)
  })

  it('begins none after it was stopped', async () => {
    const stopping = new AbortController()
    const run = async ({ name }: Job): Promise<Outcome> => {
      stopping.abort()
      return outcomeOf(name)
    }
    const options = { atOnce: 1, lastSeconds: {}, run, ended: () => {}, signal: stopping.signal }
    expect(await runJobs(['a', 'b'].map(job), options)).to.have.length(1)
  })
})

describe('closingLine()', () => {
  it('adds up, and names the skipped only where there are some', () => {
    expect(closingLine([outcomeOf('a', { passed: 3 }), outcomeOf('b', { failed: 2 })])).to.equal('4 passed, 2 failed')
    expect(closingLine([outcomeOf('a', { skipped: 5 })])).to.equal('1 passed, 0 failed, 5 skipped')
  })
})

describe('failuresOf()', () => {
  it('begins after the count of failures, without blank lines', () => {
    const output =
      'said on the way\n\n  4 passing (1s)\n  1 failing\n\n  1) Lag\n       is told:\n     AssertionError: 2 is not 3\n'
    expect(failuresOf(output)).to.equal('  1) Lag\n       is told:\n     AssertionError: 2 is not 3')
    expect(failuresOf(output, 1)).to.equal('  1) Lag')
  })

  it('gives the end of what a process wrote that died', () => {
    expect(failuresOf('one\ntwo\nThe process ended\n', 2)).to.equal('two\nThe process ended')
  })
})

describe('runMocha()', function () {
  this.timeout(60_000)
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'anomaly-mocha-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  async function runText(text: string, graceMs?: number): Promise<Outcome> {
    const file = join(folder, 'a.test.mjs')
    writeFileSync(file, text)
    return await runMocha({ name: 'a', files: [file] }, { ...(graceMs === undefined ? {} : { graceMs }) })
  }
  const counts = ({ passed, failed, skipped }: Outcome) => ({ passed, failed, skipped })

  it('counts what passed, failed and was skipped, and keeps what was written', async () => {
    const outcome = await runText(`
      it('passes', () => {})
      it('fails', () => { throw new Error('of this kind') })
      it.skip('is skipped', () => {})
      console.error('said on the way')`)
    expect(counts(outcome)).to.deep.equal({ passed: 1, failed: 1, skipped: 1 })
    expect(outcome.output).to.include('of this kind').and.to.include('said on the way')
  })

  it('counts a process that ends before its tests do as failed', async () => {
    const outcome = await runText(`it('ends', () => process.exit(0))`)
    expect(counts(outcome)).to.deep.equal({ passed: 0, failed: 1, skipped: 0 })
    expect(outcome.output).to.include('The process ended before its tests did (exit code 0)')
  })

  it('counts a process that does not end after its tests as failed, and ends it', async () => {
    const outcome = await runText(`it('leaves a timer', () => void setInterval(() => {}, 1000))`, 50)
    expect(counts(outcome)).to.deep.equal({ passed: 1, failed: 1, skipped: 0 })
    expect(outcome.output).to.include('something it opened is still open')
  })

  it('counts a file that cannot be loaded as failed', async () => {
    expect(counts(await runText('import "./nowhere.mjs"'))).to.deep.equal({ passed: 0, failed: 1, skipped: 0 })
  })
})

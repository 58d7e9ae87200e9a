import { glob } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { missingSteps, setUp } from '../servers/set-up.ts'
import { readLastRun, writeLastRun } from './last-run.ts'
import { needs } from './needs.ts'
import { closingLine, failuresOf, type Job, type Outcome, runJobs } from './run-jobs.ts'
import { runMocha } from './run-mocha.ts'

/**
 * `make test`: the unit tests in one process and each integration file in one of its own, several at once. What they need
 * is built or downloaded before, while the unit tests run. SKIP_INTEGRATION=1 leaves the tests with servers out.
 */

const root = join(import.meta.dirname, '../..')
process.chdir(root)
const skipped = process.env.SKIP_INTEGRATION === '1'
// The files wait for their servers most of the time.
const atOnce = Number(process.env.TEST_JOBS) || availableParallelism() + 1
const print = (line: string): void => void process.stdout.write(`${line}\n`)
const duration = (seconds: number): string => `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`

async function filesOf(pattern: string): Promise<string[]> {
  const files: string[] = []
  for await (const file of glob(pattern)) files.push(file)
  return files.sort()
}

const unitFiles = await filesOf('{bin,lib,operator,workloads,tools,bench}/**/*.test.ts')
const integrationFiles = await filesOf('test/integration/**/*.test.ts')
const unit: Job = { name: 'unit tests', files: unitFiles }
const integration: readonly Job[] = skipped
  ? [{ name: 'tests with servers', files: integrationFiles }]
  : integrationFiles.map((file) => ({ name: file, files: [file] }))
const missing = skipped ? [] : await missingSteps(needs)
const last = await readLastRun()
const kind = skipped ? 'without servers' : missing.length > 0 ? 'with set-up' : 'with servers'

print(`Unit tests: ${unitFiles.length} files in one process.`)
print(
  skipped
    ? `Tests with servers: left out, since SKIP_INTEGRATION=1.`
    : `Tests with servers: ${integrationFiles.length} files, ${atOnce} at once.`,
)
if (missing.length > 0) {
  print(`Set up before them, while the unit tests run: ${missing.map(({ name }) => name).join(', ')}.`)
  print('It is kept in the cache folder. To build all the programs takes about 20 minutes on two cores, once.')
}
const lastTotal = last.totals[kind]
print(lastTotal === undefined ? 'It is the first such run here.' : `Last time it took ${duration(lastTotal)}.`)

const began = performance.now()
const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stopping.abort(signal))

let left = integration.length + 1
function ended({ name, passed, failed, skipped, seconds, output }: Outcome): void {
  left -= 1
  const others = `${failed > 0 ? `, ${failed} FAILED` : ''}${skipped > 0 ? `, ${skipped} skipped` : ''}`
  if (failed > 0 && !stopping.signal.aborted) print(`\n---- ${name}\n${output.trimEnd()}\n----`)
  print(`${failed > 0 ? '✗' : '✓'} ${name}: ${passed} passed${others}, ${seconds.toFixed(0)} s; ${left} to go`)
}
const running = new Map<string, number>()
const timer = setInterval(() => {
  const now = performance.now()
  const each = Array.from(running, ([name, from]) => `${name} for ${((now - from) / 1000).toFixed(0)} s`)
  if (each.length > 0) print(`… ${each.join(', ')}`)
}, 60_000)
async function run(job: Job): Promise<Outcome> {
  running.set(job.name, performance.now())
  const outcome = await runMocha(job, { signal: stopping.signal })
  running.delete(job.name)
  return outcome
}
const runAll = (jobs: readonly Job[]): Promise<Outcome[]> =>
  runJobs(jobs, { atOnce, lastSeconds: last.jobs, run, ended, signal: stopping.signal })

function exitIfStopped(): void {
  if (!stopping.signal.aborted) return
  print(`Stopped by ${stopping.signal.reason}.`)
  process.exit(130)
}

let outcomes: Outcome[] = []
let problem: string | undefined
if (missing.length === 0) outcomes = await runAll([unit, ...integration])
else {
  const building = setUp(missing, { print }).catch((error: Error) => {
    problem = error.message
  })
  outcomes = await runAll([unit])
  exitIfStopped()
  await building
  if (problem === undefined) outcomes.push(...(await runAll(integration)))
}

clearInterval(timer)
const seconds = (performance.now() - began) / 1000
const failed = outcomes.filter((outcome) => outcome.failed > 0)
exitIfStopped()
await writeLastRun({
  totals: problem === undefined ? { ...last.totals, [kind]: Math.round(seconds) } : last.totals,
  jobs: { ...last.jobs, ...Object.fromEntries(outcomes.map(({ name, seconds }) => [name, Math.round(seconds)])) },
})
for (const { name, output } of failed) print(`\nFailed: ${name}\n${failuresOf(output)}`)
if (problem !== undefined) print(`\n${problem}\nThe ${integration.length} files of tests with servers were not run.`)
print(`\n${duration(seconds)}`)
print(closingLine(problem === undefined ? outcomes : [...outcomes, { passed: 0, failed: 1, skipped: 0 }]))
process.exitCode = failed.length > 0 || problem !== undefined ? 1 : 0

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { spread } from './spread.ts'

/** Time that `anomaly --help` takes from beginning to end, against a Node that does nothing. They take turns. */

const runs = Number(process.env.RUNS ?? 15)
const anomaly = join(import.meta.dirname, '../bin/anomaly')

/** Milliseconds. */
function run(command: string, ...args: string[]): number {
  const start = process.hrtime.bigint()
  const { status } = spawnSync(command, args)
  if (status !== 0) throw new Error(`Cannot measure: ${command} ended with ${status}`)
  return Number(process.hrtime.bigint() - start) / 1e6
}

const times = Array.from({ length: runs }, () => ({
  help: run(anomaly, '--help'),
  bare: run(process.execPath, '-e', '0'),
}))
console.log(
  JSON.stringify({
    bench: 'startup',
    milliseconds: spread(times.map(({ help }) => help)),
    baseline: 'node -e 0',
    baselineMilliseconds: spread(times.map(({ bare }) => bare)),
    ratio: spread(times.map(({ help, bare }) => help / bare)),
  }),
)

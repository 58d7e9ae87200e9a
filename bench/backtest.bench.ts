import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RunOrder, RunReport } from './backtest/child.ts'
import { writeEvents } from './backtest/events.ts'
import { spread } from './spread.ts'

/**
 * Events a second of `backtest` with the default detectors, against a bare loop that only reads, parses and writes a
 * line an event. They take turns, each run in a process of its own. RUNS and EVENTS in the environment make it shorter.
 */

const runs = Number(process.env.RUNS ?? 5)
const events = Number(process.env.EVENTS ?? 1_000_000)
const keys = 10_000
const features = 8

async function run(order: RunOrder): Promise<RunReport> {
  const child = fork(new URL('./backtest/child.ts', import.meta.url))
  const ended = once(child, 'exit').then(() => {
    throw new Error(`Cannot measure: the ${order.job} run ended early`)
  })
  ended.catch(() => {})
  child.send(order)
  const [report] = await Promise.race([once(child, 'message'), ended])
  child.kill()
  return report
}

/** The highest within 5 % of the events around that percentage, in MiB. */
const rssAt = ({ rss }: RunReport, percent: number) => Math.max(...rss.slice(percent - 5, percent)) / 1024 / 1024

async function measure() {
  const scratch = mkdtempSync(join(tmpdir(), 'backtest-'))
  try {
    const [input, output] = [join(scratch, 'events.jsonl'), join(scratch, 'out.jsonl')]
    writeEvents(input, { events, keys, features })
    const reports: { own: RunReport; bare: RunReport }[] = []
    for (let i = 0; i < runs; i++) {
      const bare = await run({ job: 'bare', input, output, events })
      reports.push({ bare, own: await run({ job: 'backtest', input, output, events }) })
    }
    return {
      bench: 'backtest',
      events,
      keys,
      features,
      ratio: spread(reports.map(({ own, bare }) => bare.seconds / own.seconds)),
      cpuRatio: spread(reports.map(({ own, bare }) => bare.cpuSeconds / own.cpuSeconds)),
      eventsPerSecond: spread(reports.map(({ own }) => events / own.seconds)),
      baseline: 'read, JSON.parse and write a line an event',
      baselineEventsPerSecond: spread(reports.map(({ bare }) => events / bare.seconds)),
      rssMebibytes: {
        at30Percent: spread(reports.map(({ own }) => rssAt(own, 30))).median,
        atEnd: spread(reports.map(({ own }) => rssAt(own, 100))).median,
      },
      rssGrowth: spread(reports.map(({ own }) => rssAt(own, 100) / rssAt(own, 30))),
      load: loadavg()[0],
    }
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

console.log(JSON.stringify(await measure()))

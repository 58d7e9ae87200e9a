import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { backtest } from '../../workloads/backtest/backtest.ts'
import { normalSeries } from '../../workloads/detection/injected-anomalies.ts'
import { type Random, random } from '../../workloads/detection/random.ts'
import { inputFiles } from '../../workloads/files/input-files.ts'
import type { Measurement } from './measurement.ts'

const stepMs = 300_000
const day = 288
const week = 7 * day
/** A Monday. */
const start = Date.UTC(2024, 0, 1)
/** Alerts that follow one another within so many points are one episode. */
const episode = 24

interface Incident {
  readonly key: string
  readonly first: number
  /** Points in which it counts as found. */
  readonly within: number
  apply(values: number[], at: number): number
  readonly length: number
}

/**
 * Five weeks of ten servers, a point in five minutes: a daily and weekly course, a nightly job at two o'clock of twenty to forty
 * minutes that takes all there is, and three incidents in the last weeks: an outage of an hour, half an hour at the limit
 * in the afternoon, a job that runs at the wrong time.
 */
export async function measureSeasons(pipeline: Pipeline): Promise<Measurement> {
  const chance = random('seasons')
  const servers = Array.from({ length: 10 }, (_, s) => `server-${s}`)
  const series = new Map(servers.map((key) => [key, serverLoad(5 * week, chance)]))
  const at = (week0: number, day0: number, hour: number) => week0 * week + day0 * day + hour * 12
  const incidents: Incident[] = [
    { key: 'server-2', first: at(2, 2, 11), length: 12, within: 12, apply: () => 2 },
    { key: 'server-5', first: at(3, 3, 15), length: 6, within: 6, apply: (_, i) => 97 + (i % 3) },
    { key: 'server-7', first: at(4, 1, 20), length: 7, within: 7, apply: (_, i) => 90 + (i % 5) },
  ]
  const { alertBudgetPerMillion, ...detection } = pipeline.spec.detection
  const calm: Pipeline = {
    ...pipeline,
    spec: { ...pipeline.spec, detection: { ...detection, alertBudget: { perMillion: 100, mode: 'Ceiling' } } },
  }
  put(series, incidents)
  const { found, wrong } = await run(calm, series, incidents, 2 * week)
  return {
    collection: 'seasons',
    scope:
      'ten servers with a nightly job, five weeks, budget 100 with mode Ceiling; false episodes of all servers a week after the first two',
    figures: [
      { name: 'incidents found of 3', pipeline: found, digits: 0, tolerance: 0 },
      { name: 'false episodes a week', pipeline: wrong / 3, digits: 1, tolerance: 1, better: 'lower' },
    ],
  }
}

const sensorNatures = ['season', 'walk', 'flat'] as const
const sensorSeeds = 5
const leakLength = 432
const sensorIncidents = {
  /** Stands still for six hours; found within a tenth of them. */
  frozen: { length: 72, within: 7, apply: (values: number[], i: number) => values[i - 1]! },
  /** Goes away for 36 hours, by four standard deviations in the end. */
  leak: {
    length: leakLength,
    within: leakLength,
    apply: (values: number[], i: number, first: number) =>
      values[i]! - (4 * spreadOf(values) * (i - first)) / leakLength,
  },
} as const

/** Three natures of sensors, a point in five minutes for three weeks, each with an incident in the third. */
export function sensors(kind: keyof typeof sensorIncidents) {
  const { length, within, apply } = sensorIncidents[kind]
  const series = new Map<string, number[]>()
  const incidents: Incident[] = []
  for (const [n, nature] of sensorNatures.entries())
    for (let seed = 0; seed < sensorSeeds; seed++) {
      const key = `${nature}-${seed}`
      series.set(key, normalSeries(nature, 3 * week, 900 + 10 * n + seed))
      const first = 2 * week + 97 * (5 * n + seed)
      incidents.push({ key, first, length, within, apply: (values, i) => apply(values, i, first) })
    }
  put(series, incidents)
  return { series, incidents }
}

export async function* measureSensors(pipeline: Pipeline): AsyncGenerator<Measurement> {
  for (const kind of ['frozen', 'leak'] as const) {
    const { series, incidents } = sensors(kind)
    const { length, within } = sensorIncidents[kind]
    const { found, early, wrong } = await run(pipeline, series, incidents, week)
    const isEarly = within < length
    yield {
      collection: kind,
      scope: `fifteen sensors, three weeks, found within ${within} of ${length} points`,
      figures: [
        { name: `found of ${incidents.length}`, pipeline: found, digits: 0, tolerance: 1 },
        ...(isEarly ? [] : [{ name: 'in the first tenth', pipeline: early, digits: 0, tolerance: 1 }]),
        { name: 'false episodes', pipeline: wrong, digits: 0, tolerance: 3, better: 'lower' as const },
      ],
    }
  }
}

function put(series: ReadonlyMap<string, number[]>, incidents: readonly Incident[]): void {
  for (const { key, first, length, apply } of incidents) {
    const values = series.get(key)!
    const changed = Array.from({ length }, (_, i) => first + i)
    // One after the other: a frozen value is the one before.
    for (const i of changed) values[i] = apply(values, i)
  }
}

function serverLoad(length: number, chance: Random): number[] {
  const level = 20 + 15 * chance.next()
  let job = 0
  return Array.from({ length }, (_, i) => {
    const ofDay = i % day
    const weekday = Math.floor(i / day) % 7 < 5 ? 1 : 0.4
    const course = 1 + 0.6 * weekday * Math.sin((2 * Math.PI * (ofDay - 96)) / day)
    const noise = 1 + 0.06 * (chance.next() + chance.next() + chance.next() - 1.5)
    if (ofDay === 24) job = 4 + chance.int(5)
    const isJob = ofDay >= 24 && ofDay < 24 + job
    return Math.min(100, level * course * noise + (isJob ? 60 + 5 * chance.next() : 0))
  })
}

function spreadOf(values: readonly number[]): number {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length
  return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length)
}

/** Incidents that alerted in time, and in their first tenth; and episodes from `from` on that belong to none. */
async function run(
  pipeline: Pipeline,
  series: ReadonlyMap<string, number[]>,
  incidents: readonly Incident[],
  from: number,
): Promise<{ found: number; early: number; wrong: number }> {
  const scratch = mkdtempSync(join(tmpdir(), 'quality-'))
  const alerts = new Map<string, number[]>([...series.keys()].map((key) => [key, []]))
  try {
    const paths = [...series].map(([key, values]) => {
      const path = join(scratch, `${key}.csv`)
      const rows = values.map((value, i) => `${(start + stepMs * i) / 1000},${value}`)
      writeFileSync(path, ['timestamp,value', ...rows, ''].join('\n'))
      return path
    })
    const keys = [...series.keys()]
    const files = inputFiles(paths)
    const keyOf = new Map(files.map(({ source }, at) => [source, keys[at]!]))
    await backtest({
      pipeline,
      files,
      onEvent({ record, event, verdict }) {
        if (verdict.isAnomaly) alerts.get(keyOf.get(record.source)!)!.push((event.time - start) / stepMs)
      },
    })
  } finally {
    rmSync(scratch, { recursive: true })
  }
  let found = 0
  let early = 0
  let wrong = 0
  for (const [key, rows] of alerts) {
    const own = incidents.filter((incident) => incident.key === key)
    found += own.filter(({ first, within }) => rows.some((i) => i >= first && i <= first + within)).length
    early += own.filter(({ first, length }) => rows.some((i) => i >= first && i <= first + length / 10)).length
    const others = rows.filter(
      (i) => i >= from && !own.some(({ first, length }) => i >= first && i <= first + length + episode),
    )
    wrong += others.filter((i, n) => n === 0 || i - others[n - 1]! > episode).length
  }
  return { found, early, wrong }
}

import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { AppError, messageOf } from '../../lib/errors.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { Decision } from '../../workloads/detection/decision.ts'
import { Discord, type DiscordPart, discordParts } from '../../workloads/detection/discord.ts'
import { Evidence } from '../../workloads/detection/evidence.ts'
import {
  anomalyKinds,
  type InjectedSeries,
  injectedSeries,
  seriesNatures,
} from '../../workloads/detection/injected-anomalies.ts'
import { LastAlerts } from '../../workloads/detection/last-alerts.ts'
import { inputFiles } from '../../workloads/files/input-files.ts'
import { readEvents } from '../../workloads/files/read-events.ts'
import { timeOf } from '../../workloads/wire/event-time.ts'
import { sensors } from './measure-generated.ts'
import { type CostMatrix, type DecidedSeries, nabScore } from './nab.ts'
import { withAblation } from './reference.ts'
import { foundSegments, segmentsOf } from './segments.ts'

/**
 * What each part of the detector of series adds: the same collections without it, decided by one budget each, as the
 * pipeline would. Prints a table, or writes it into docs/quality.md.
 */

const documentFile = join(import.meta.dirname, '../../docs/quality.md')
const pipelineFile = join(import.meta.dirname, '../../manifests/pipelines/timeseries.yaml')
/** Each score is decided by budgets around the one asked for, whose mean says more than one of them. */
const around = [0.8, 0.9, 1, 1.1, 1.25] as const
/** An alert after an injected anomaly counts as right for so many values: smoothed members may notice its end. */
const after = 24
/** Anomalies of a kind in series of a nature. */
const seedsEach = 4

interface Series {
  readonly times: readonly number[]
  readonly values: readonly number[]
  readonly labels: readonly number[]
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { data: { type: 'string', default: '' }, write: { type: 'boolean' } } })
  if (values.data === '') throw new AppError('InvalidArgument', 'No data: make quality DATA=FOLDER ABLATE=1')
  const nab = await readNab(join(values.data, 'nab'))
  const kpi = await readSeries(globSync(join(values.data, 'kpi', '*.csv.gz')).sort())
  const segments = kpi.map(({ labels }) => segmentsOf(labels))
  const injected = injectedCollection()
  const leaks = leakCollection()
  const pipeline = await loadPipeline(pipelineFile)
  const lines: string[] = []
  for (const part of [undefined, ...discordParts]) {
    const decide = (collection: readonly Series[], perMillion: number) => {
      const scores = collection.map((series) => scoresOf(series, part))
      return around.map((factor) => decisionsOf(pipeline, collection, scores, perMillion * factor))
    }
    const standard = decide(nab.series, 1000).map((alerts) =>
      nabScore(
        nab.windows.map((windows, at) => ({ windows, alerts: alerts[at]! })),
        nab.costs,
      ),
    )
    const segment = decide(kpi, 300).map((alerts) => foundSegments(segments, alerts))
    const put = decide(
      injected.map(({ series }) => series),
      1000,
    ).map((alerts) => foundInjected(injected, alerts))
    const leak = decide(leaks, 1000).map((alerts) => foundLeaks(leaks, alerts))
    const cells = [
      part === undefined ? 'as it is' : `without ${part}`,
      mean(standard).toFixed(1),
      [mean(segment.map(({ found }) => found)), mean(segment.map(({ wrong }) => wrong))]
        .map((count) => count.toFixed(0))
        .join(' / '),
      [mean(put.map(({ found }) => found)), mean(put.map(({ wrong }) => wrong))]
        .map((count) => count.toFixed(0))
        .join(' / '),
      [mean(leak.map(({ early }) => early)), mean(leak.map(({ wrong }) => wrong))]
        .map((count) => count.toFixed(0))
        .join(' / '),
    ]
    lines.push(`| ${cells.join(' | ')} |`)
    console.log(lines.at(-1))
  }
  if (values.write)
    writeFileSync(documentFile, withAblation(readFileSync(documentFile, 'utf8'), injected.length, lines))
}

async function readNab(folder: string) {
  const limits: Readonly<Record<string, readonly (readonly [string, string])[]>> = JSON.parse(
    readFileSync(join(folder, 'windows.json'), 'utf8'),
  )
  const profiles: { readonly standard: { readonly CostMatrix: CostMatrix } } = JSON.parse(
    readFileSync(join(folder, 'profiles.json'), 'utf8'),
  )
  const series = await readSeries(Object.keys(limits).map((name) => join(folder, 'data', name)))
  const windows: DecidedSeries['windows'][] = Object.values(limits).map((own, at) =>
    own.map(([first, last]) => ({
      first: series[at]!.times.indexOf(timeOf(first)),
      last: series[at]!.times.indexOf(timeOf(last)),
    })),
  )
  return { series, windows, costs: profiles.standard.CostMatrix }
}

/** A series a file, with columns timestamp, value and perhaps label. */
async function readSeries(paths: readonly string[]): Promise<Series[]> {
  const all: Series[] = []
  for (const path of paths) {
    const series = { times: [] as number[], values: [] as number[], labels: [] as number[] }
    for await (const rows of readEvents(inputFiles([path])))
      for (const { body } of rows) {
        const { timestamp, value, label } = body as Readonly<Record<string, string>>
        series.times.push(timeOf(timestamp))
        series.values.push(value === '' ? Number.NaN : Number(value))
        series.labels.push(Number(label ?? 0))
      }
    all.push(series)
  }
  return all
}

function injectedCollection(): { readonly series: Series; readonly anomaly: InjectedSeries }[] {
  return seriesNatures.flatMap((nature) =>
    anomalyKinds.flatMap((kind, k) =>
      Array.from({ length: seedsEach }, (_, seed) => {
        const anomaly = injectedSeries(nature, kind, 100 * seed + k)
        const times = anomaly.values.map((_, i) => Date.UTC(2024, 0, 1) + 300_000 * i)
        return { series: { times, values: anomaly.values, labels: [] }, anomaly }
      }),
    ),
  )
}

function leakCollection(): (Series & { readonly first: number; readonly length: number })[] {
  const { series, incidents } = sensors('leak')
  return incidents.map(({ key, first, length }) => {
    const values = series.get(key)!
    return { times: values.map((_, i) => Date.UTC(2024, 0, 1) + 300_000 * i), values, labels: [], first, length }
  })
}

function scoresOf({ times, values }: Series, without: DiscordPart | undefined): Float64Array {
  const discord = new Discord('discord', { without })
  const evidence = new Evidence()
  discord.reset(0)
  return Float64Array.from(values, (value, i) => {
    evidence.clear()
    return discord.observe(0, { id: '', key: '', time: times[i]!, value, features: [] }, evidence)
  })
}

/** All series are the keys of one run, interleaved by position. */
function decisionsOf(
  { spec }: Pipeline,
  collection: readonly Series[],
  scores: readonly Float64Array[],
  perMillion: number,
): Uint8Array[] {
  const { alertBudgetPerMillion: _, ...detection } = spec.detection
  const { refractoryEvents } = new Discord('discord')
  const lastAlerts = new LastAlerts({ refractoryMs: 0, refractoryEvents })
  const options = { lastAlerts, members: 1, isCalibrated: false, hasProfiles: false }
  const decision = new Decision({ ...detection, alertBudget: { perMillion, mode: 'Quota' } }, options)
  const alerts = scores.map(({ length }, slot) => {
    lastAlerts.reset(slot)
    return new Uint8Array(length)
  })
  const longest = Math.max(...scores.map(({ length }) => length))
  for (let i = 0; i < longest; i++)
    for (const [slot, series] of scores.entries()) {
      if (i >= series.length) continue
      decision.decide(slot, collection[slot]!.times[i]!, series[i]!, 0)
      if (decision.isAlert) alerts[slot]![i] = 1
    }
  return alerts
}

/** Anomalies with an alert, and other alerts. */
function foundInjected(injected: readonly { readonly anomaly: InjectedSeries }[], alerts: readonly Uint8Array[]) {
  let found = 0
  let wrong = 0
  for (const [at, { anomaly }] of injected.entries()) {
    const rows = [...alerts[at]!.keys()].filter((i) => alerts[at]![i] === 1)
    const right = rows.filter((i) => i >= anomaly.first && i <= anomaly.last + after)
    if (right.length > 0) found++
    wrong += rows.length - right.length
  }
  return { found, wrong }
}

/** Leaks with an alert in their first tenth, and alerts outside of any. */
function foundLeaks(leaks: ReturnType<typeof leakCollection>, alerts: readonly Uint8Array[]) {
  let early = 0
  let wrong = 0
  for (const [at, { first, length }] of leaks.entries()) {
    const rows = [...alerts[at]!.keys()].filter((i) => alerts[at]![i] === 1)
    if (rows.some((i) => i >= first && i <= first + length / 10)) early++
    wrong += rows.filter((i) => i < first || i > first + length + after).length
  }
  return { early, wrong }
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, x) => sum + x, 0) / numbers.length
}

main().catch((error: unknown) => {
  console.error(messageOf(error))
  process.exitCode = error instanceof AppError ? error.exitCode : 1
})

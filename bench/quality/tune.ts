import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { AppError, messageOf } from '../../lib/errors.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { backtest } from '../../workloads/backtest/backtest.ts'
import { LabelledScores } from '../../workloads/backtest/labelled-scores.ts'
import { isUnordered } from '../../workloads/backtest/tune/injected-sample.ts'
import { takeSample } from '../../workloads/backtest/tune/sample.ts'
import { type Tuning, tune } from '../../workloads/backtest/tune/tune.ts'
import { EpisodeQuality, LabelledEpisodes } from '../../workloads/detection/episode-quality.ts'
import { InputCheck } from '../../workloads/files/input-check.ts'
import { type InputFile, inputFiles } from '../../workloads/files/input-files.ts'
import type { InputRecord } from '../../workloads/files/input-record.ts'
import { readEvents } from '../../workloads/files/read-events.ts'
import { simulatePayments } from '../../workloads/simulation/simulate-payments.ts'
import { timeOf } from '../../workloads/wire/event-time.ts'

/**
 * What `anomaly tune` proposes, measured on data that it did not see: it is given the first half of a collection (of rows
 * without order every other row), and pipelines are counted on the second. Prints a table in Markdown.
 */

const manifests = join(import.meta.dirname, '../../manifests/pipelines')

interface Collection {
  readonly pipeline: string
  readonly label: string
  files(data: string): readonly string[]
  /** Puts in labels that the files lack. */
  labelled?(data: string, rows: InputRecord[]): InputRecord[]
}

const csv = (pattern: string) => (data: string) => globSync(join(data, pattern)).sort()
const tabular = (name: string): Collection => ({
  pipeline: 'tabular',
  label: 'label',
  files: csv(`tabular/${name}.csv.gz`),
})

const collections: Readonly<Record<string, Collection>> = {
  nab: {
    pipeline: 'timeseries',
    label: 'label',
    files: (data) => Object.keys(windowsIn(data)).map((name) => join(data, 'nab/data', name)),
    labelled(data, rows) {
      const windows = Object.entries(windowsIn(data))
      return rows.map((row) => {
        const [, spans = []] = windows.find(([name]) => name.endsWith(row.source)) ?? []
        const { timestamp } = row.body as { timestamp: string }
        const isIn = spans.some(
          ([from, to]) =>
            timeOf(timestamp) >= timeOf(from.slice(0, 19)) && timeOf(timestamp) <= timeOf(to.slice(0, 19)),
        )
        return { ...row, body: { ...(row.body as object), label: isIn ? 1 : 0 } }
      })
    },
  },
  kpi: { pipeline: 'timeseries', label: 'label', files: csv('kpi/*.csv.gz') },
  transactions: { pipeline: 'transactions', label: 'fraud', files: csv('transactions/*.csv.gz') },
  payments: {
    pipeline: 'payments',
    label: 'fraud',
    files: () => [],
    labelled: () => simulated(),
  },
  ...Object.fromEntries(
    ['http', 'smtp', 'cardio', 'satellite', 'donors', 'mnist'].map((name) => [name, tabular(name)]),
  ),
}

function windowsIn(data: string): Readonly<Record<string, readonly (readonly [string, string])[]>> {
  return JSON.parse(readFileSync(join(data, 'nab/windows.json'), 'utf8'))
}

function simulated(): InputRecord[] {
  const rows: InputRecord[] = []
  for (const { event, injected } of simulatePayments({ seed: 1, users: 500, startTime: Date.UTC(2020, 0, 6) })) {
    const row = rows.length + 1
    if (row > 200_000) return rows
    const body = { ...event, fraud: injected === '' ? 0 : 1 }
    rows.push({ offset: 0, key: null, value: null, timestamp: Number.NaN, source: 'simulation', row, line: row, body })
  }
  return rows
}

/** Found, of how many, and false: episodes, or alerts on rows without order, and average precision there. */
async function measured(pipeline: Pipeline, files: readonly InputFile[], rows: readonly InputRecord[], label: string) {
  const { detection, event } = pipeline.spec
  const unordered = isUnordered(event)
  const quality = new EpisodeQuality(detection)
  const labelled = new LabelledEpisodes(detection)
  const scores = new LabelledScores()
  let at = 0
  await backtest({
    pipeline,
    files,
    rows: unordered ? rows.filter((_, i) => i % 2 === 1) : rows,
    label,
    onEvent({ verdict, label }) {
      if (label === undefined) return
      const isSeen = !unordered && at++ < rows.length / 2
      const episode = labelled.next(verdict, label)
      if (isSeen) return
      quality.add(verdict, episode)
      scores.add(verdict.anomalyScore, verdict.isAnomaly, label)
    },
  })
  const { averagePrecision, decided } = scores.evaluate()
  if (unordered) return `${decided.hits} / ${decided.alerts - decided.hits}, AP ${averagePrecision.toFixed(3)}`
  const { found, missed, falseEpisodes } = quality.figures.truth!
  return `${found} of ${found + missed} / ${falseEpisodes}, AP ${averagePrecision.toFixed(3)}`
}

function withDefaultDetectors(pipeline: Pipeline): Pipeline {
  const { detectors: _, ...detection } = pipeline.spec.detection
  return { ...pipeline, spec: { ...pipeline.spec, detection } }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      data: { type: 'string', default: '' },
      only: { type: 'string', default: Object.keys(collections).join() },
      events: { type: 'string', default: '100000' },
    },
  })
  const print = (cells: readonly string[]) => process.stdout.write(`| ${cells.join(' | ')} |\n`)
  print(['collection', 'default detectors', 'shipped file', 'tuned without labels', 'tuned with labels'])
  print(['---', '---', '---', '---', '---'])
  for (const name of values.only.split(',')) {
    const collection = collections[name]
    if (collection === undefined) throw new AppError('InvalidArgument', `${name}: no such collection`)
    const shipped = await loadPipeline(join(manifests, `${collection.pipeline}.yaml`))
    const files = inputFiles(collection.files(values.data))
    let rows: InputRecord[] = []
    for await (const some of readEvents(files, { named: [collection.label] })) rows.push(...some)
    rows = collection.labelled?.(values.data, rows) ?? rows
    const given = withDefaultDetectors(shipped)
    const half = rows.filter((_, i) => (isUnordered(given.spec.event) ? i % 2 === 0 : i < rows.length / 2))
    const known = new Map<string, string>()
    const figures = async (pipeline: Pipeline) => {
      const key = JSON.stringify(pipeline.spec.detection.detectors ?? 'default')
      if (!known.has(key)) known.set(key, await measured(pipeline, files, rows, collection.label))
      return known.get(key)!
    }
    const tuned = async (label: string | undefined) => {
      const check = new InputCheck(given, () => {})
      const sample = await takeSample({
        pipeline: given,
        files,
        rows: (async function* () {
          yield half.map((row) => (label === undefined ? withoutLabel(row, collection.label) : row))
        })(),
        label,
        most: Number(values.events),
        check,
      })
      const tuning = await tune({ pipeline: given, sample, files, label, alertsPerDay: undefined, seed: 1 })
      for (const one of tuning.alternatives) process.stderr.write(`${name} ${label ?? 'injected'} ${shownOf(one)}\n`)
      return tuning
    }
    const cell = async ({ chosen, proposal }: Tuning) => `${chosen.name}: ${await figures(proposal)}`
    const [free, supervised] = [await tuned(undefined), await tuned(collection.label)]
    print([name, await figures(given), await figures(shipped), await cell(free), await cell(supervised)])
  }
}

function shownOf({ name, found, missed, wrong, parts }: Tuning['chosen']): string {
  return `${name}: ${found} of ${found + missed} / ${wrong}, ${parts.map(({ quality }) => quality.toFixed(3)).join(' / ')}`
}

function withoutLabel(row: InputRecord, label: string): InputRecord {
  const { [label]: _, ...body } = row.body as Record<string, unknown>
  return { ...row, body }
}

try {
  await main()
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`)
  process.exitCode = error instanceof AppError ? error.exitCode : 1
}

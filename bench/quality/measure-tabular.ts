import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { AppError } from '../../lib/errors.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { backtest } from '../../workloads/backtest/backtest.ts'
import { averagePrecision, rankScores, rocAuc } from '../../workloads/backtest/evaluation.ts'
import { random } from '../../workloads/detection/random.ts'
import { inputFiles } from '../../workloads/files/input-files.ts'
import { batchForest } from './batch-forest.ts'
import { ewz } from './ewz.ts'
import { type Figure, type Measurement, meanOverSeeds, meanOverSets } from './measurement.ts'

/** Sets in order of time, or measured in the order of their file. */
const streams: readonly string[] = ['http', 'smtp', 'cover']
/** Of the models, and of the order of the rows where they have none: one says little of a small set or a rare class. */
const seeds = [1, 2, 3] as const

interface MeasuredSet {
  readonly name: string
  /** By seed. */
  readonly runs: readonly (readonly Figure[])[]
}

/**
 * The sets of rows, each a run of its own: the mean over all sets, and each stream. Most sets are no streams: their files
 * list one class after the other, which no detector that learns as it goes could make sense of, and are run in random
 * order. What the files' own order gives is there for comparison.
 */
export async function* measureTabular(
  folder: string,
  pipeline: Pipeline,
  { python }: { readonly python: string },
): AsyncGenerator<Measurement> {
  const paths = globSync(join(folder, '*.csv.gz')).sort()
  if (paths.length === 0) throw new AppError('NotFound', `${folder}: no *.csv.gz`)
  const sets: MeasuredSet[] = []
  const scratch = mkdtempSync(join(tmpdir(), 'quality-'))
  try {
    for (const path of paths) {
      const name = basename(path, '.csv.gz')
      const inTime = streams.includes(name)
      const runs: Figure[][] = []
      for (const seed of seeds) {
        const input = inTime ? path : shuffledCopy(path, join(scratch, `${name}.csv`), seed)
        runs.push(await measureSet(input, pipeline, seed))
      }
      const forests = batchForest(python, path, seeds)
      if (forests !== undefined)
        for (const [at, { roc, ap }] of forests.entries())
          runs[at] = runs[at]!.map((figure) => ({ ...figure, forest: figure.name === 'AP' ? ap : roc }))
      sets.push({ name, runs })
    }
  } finally {
    rmSync(scratch, { recursive: true })
  }
  const bySeeds = `seeds ${seeds.join(', ')}`
  yield meanOf('tabular', `mean over ${sets.length} sets, those without time in random order; ${bySeeds}`, sets)
  for (const { name, runs } of sets)
    if (streams.includes(name))
      yield { collection: name, scope: `in order of time; ${bySeeds}`, figures: meanOverSeeds(runs) }
}

function meanOf(collection: string, scope: string, sets: readonly MeasuredSet[]): Measurement {
  const bySeed = sets[0]!.runs.map((_, seed) => meanOverSets(sets.map(({ runs }) => runs[seed]!)))
  return {
    collection,
    scope,
    figures: meanOverSeeds(bySeed),
    files: sets.map(({ name, runs }) => ({ name, figures: meanOverSeeds(runs) })),
  }
}

/** A copy with the rows in a random order, which the seed decides. */
function shuffledCopy(path: string, copy: string, seed: number): string {
  const [header, ...rows] = gunzipSync(readFileSync(path)).toString('utf8').trimEnd().split('\n')
  const chance = random(`${basename(path)}/${seed}`)
  for (let left = rows.length; left > 1; left--) {
    const drawn = chance.int(left)
    const row = rows[drawn]!
    rows[drawn] = rows[left - 1]!
    rows[left - 1] = row
  }
  writeFileSync(copy, [header, ...rows, ''].join('\n'))
  return copy
}

async function measureSet(path: string, pipeline: Pipeline, seed: number): Promise<Figure[]> {
  const labels: number[] = []
  const scores: number[] = []
  const baseline: number[] = []
  const zScore = ewz()
  const { rejected } = await backtest({
    pipeline,
    files: inputFiles([path]),
    label: 'label',
    seed,
    onEvent({ event, verdict, label }) {
      if (label === undefined) throw new AppError('InvalidArgument', `${path}: row ${scores.length + 1} has no label`)
      labels.push(label)
      scores.push(verdict.anomalyScore)
      baseline.push(zScore.score('', event.features))
    },
  })
  if (rejected > 0) throw new AppError('InvalidArgument', `${path}: ${rejected} rows cannot be read`)
  const truth = Uint8Array.from(labels)
  const ranked = rankScores(Float64Array.from(scores), truth)
  const rankedBaseline = rankScores(Float64Array.from(baseline), truth)
  return [
    { name: 'ROC AUC', pipeline: rocAuc(ranked), baseline: rocAuc(rankedBaseline) },
    { name: 'AP', pipeline: averagePrecision(ranked), baseline: averagePrecision(rankedBaseline) },
  ]
}

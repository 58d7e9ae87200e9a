import { globSync } from 'node:fs'
import { join } from 'node:path'
import { AppError } from '../../lib/errors.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { backtest } from '../../workloads/backtest/backtest.ts'
import { averagePrecision, rankScores, rocAuc } from '../../workloads/backtest/evaluation.ts'
import { inputFiles } from '../../workloads/files/input-files.ts'
import { cardPrecision, type ScoredTransactions } from './card-precision.ts'
import { ewz } from './ewz.ts'
import type { Figure, Measurement } from './measurement.ts'

const dayMs = 86_400_000
/** Days at the start on which customers' habits are learnt and nothing is measured. */
const learningDays = 45

/** When a fraud becomes known. */
const feedbackDelayMs = 7 * dayMs

/** Without any knowledge of frauds, and where each is confirmed a week later. */
export async function* measureTransactions(folder: string, pipeline: Pipeline): AsyncGenerator<Measurement> {
  yield await measure(folder, pipeline)
  const { event, detection } = pipeline.spec
  const spec = {
    ...pipeline.spec,
    event: { ...event, secondaryKeys: ['terminal_id'] },
    detection: { ...detection, feedback: {} },
  }
  yield await measure(folder, { ...pipeline, spec }, feedbackDelayMs)
}

/** Card transactions: one run over all days, measured from the 46th on. */
async function measure(folder: string, pipeline: Pipeline, delayMs?: number): Promise<Measurement> {
  const paths = globSync(join(folder, '*.csv.gz')).sort()
  if (paths.length !== 1)
    throw new AppError('NotFound', `${folder}: one *.csv.gz is expected, there are ${paths.length}`)
  const day: number[] = []
  const card: number[] = []
  const fraud: number[] = []
  const scores: number[] = []
  const baseline: number[] = []
  const zScore = ewz()
  let firstDay: number | undefined
  const { rejected } = await backtest({
    pipeline,
    files: inputFiles(paths),
    label: 'fraud',
    feedbackDelayMs: delayMs,
    onEvent({ event, verdict, label }) {
      if (label === undefined)
        throw new AppError('InvalidArgument', `${paths[0]}: transaction ${event.id} has no label`)
      const today = Math.floor(event.time / dayMs)
      firstDay ??= today
      const deviation = zScore.score(event.key, [event.value])
      if (today - firstDay < learningDays) return
      day.push(today)
      card.push(Number(event.key))
      fraud.push(label)
      scores.push(verdict.anomalyScore)
      baseline.push(deviation)
    },
  })
  if (rejected > 0) throw new AppError('InvalidArgument', `${paths[0]}: ${rejected} rows cannot be read`)
  if (day.length === 0)
    throw new AppError('InvalidArgument', `${paths[0]}: more than ${learningDays} days are expected`)

  const columns = { day: Int32Array.from(day), card: Int32Array.from(card), fraud: Uint8Array.from(fraud) }
  const own = ranksOf({ ...columns, score: Float64Array.from(scores) })
  const days = `days ${day[0]}-${day.at(-1)}, ${day.length} transactions`
  if (delayMs !== undefined)
    return {
      collection: 'transactions with feedback',
      scope: `${days}, each fraud confirmed 7 days later`,
      figures: own,
    }
  const base = ranksOf({ ...columns, score: Float64Array.from(baseline) })
  return {
    collection: 'transactions',
    scope: `${days}, without feedback`,
    figures: own.map((figure, at) => ({ ...figure, baseline: base[at]!.pipeline })),
  }
}

function ranksOf(transactions: ScoredTransactions): Figure[] {
  const ranked = rankScores(transactions.score, transactions.fraud)
  return [
    { name: 'ROC AUC', pipeline: rocAuc(ranked) },
    { name: 'AP', pipeline: averagePrecision(ranked) },
    { name: 'CP@100', pipeline: cardPrecision(transactions) },
    { name: 'CP@100 without found cards', pipeline: cardPrecision(transactions, { removeDetected: true }) },
  ]
}

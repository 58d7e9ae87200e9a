import { resolveDecision } from '../../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../../lib/pipeline/spec.ts'
import { EpisodeQuality, LabelledEpisodes } from '../../detection/episode-quality.ts'
import type { InputFile } from '../../files/input-files.ts'
import type { InputRecord } from '../../files/input-record.ts'
import { backtest } from '../backtest.ts'
import { LabelledScores } from '../labelled-scores.ts'

/**
 * How good what was found is, 0 to 1. Recall: the share of what was put in, at one budget for all; what else alerts may be
 * as real. F1: what was found is weighed against false episodes. AveragePrecision: of rows that are no episodes.
 */
export type Measure = 'Recall' | 'F1' | 'AveragePrecision'

/** Rows with the truth: all labelled ones, or one of the copies with anomalies. */
export interface TrialData {
  readonly rows: readonly InputRecord[]
  /** The field that it is in. */
  readonly label: string
  /** Into how many parts the second half is cut, each counted on its own; of rows without order, all of them are. */
  readonly parts: number
  readonly measure: Measure
}

export interface TrialOptions {
  readonly files: readonly InputFile[]
  readonly data: readonly TrialData[]
  readonly seed: number
  readonly onnxFolder?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** What was found in a part of the data: episodes, or events where they have neither time nor key. */
export interface TrialPart {
  readonly found: number
  readonly missed: number
  readonly wrong: number
  /** Span of the events, in days; NaN where they have no time. */
  readonly days: number
  /** NaN where there is nothing to find. */
  readonly quality: number
}

export interface Trial {
  readonly events: number
  readonly alerts: number
  /** Alerts over what the budget asks for; NaN where a threshold decides. */
  readonly got: number
  readonly measure: Measure
  readonly parts: readonly TrialPart[]
  /** Of all parts together. */
  readonly found: number
  readonly missed: number
  readonly wrong: number
  /** NaN without times. */
  readonly wrongPerDay: number
  /** Mean of the parts. */
  readonly quality: number
}

/** Backtests of a pipeline over rows whose truth is known. The labels are read by the counting alone. */
export async function trial(pipeline: Pipeline, { data, ...options }: TrialOptions): Promise<Trial> {
  const runs = []
  for (const one of data) runs.push(await runOf(pipeline, one, options))
  const parts = data[0]!.measure === 'Recall' ? halvesOf(runs.map(({ parts }) => parts[0]!)) : runs[0]!.parts
  const sum = (of: (part: TrialPart) => number) => parts.reduce((total, part) => total + of(part), 0)
  const events = runs.reduce((total, run) => total + run.events, 0)
  const alerts = runs.reduce((total, run) => total + run.alerts, 0)
  const decision = resolveDecision(pipeline.spec.detection)
  const told = parts.filter(({ quality }) => !Number.isNaN(quality))
  return {
    events,
    alerts,
    got: decision.type === 'alertBudget' ? alerts / ((events * decision.perMillion) / 1e6) : Number.NaN,
    measure: data[0]!.measure,
    parts,
    found: sum(({ found }) => found),
    missed: sum(({ missed }) => missed),
    wrong: sum(({ wrong }) => wrong),
    wrongPerDay: sum(({ wrong }) => wrong) / sum(({ days }) => days),
    quality: told.reduce((total, { quality }) => total + quality, 0) / told.length,
  }
}

async function runOf(
  pipeline: Pipeline,
  { rows, label, parts, measure }: TrialData,
  options: Omit<TrialOptions, 'data'>,
): Promise<{ events: number; alerts: number; parts: readonly TrialPart[] }> {
  const { detection } = pipeline.spec
  const isOfRows = measure === 'AveragePrecision'
  const labelled = new LabelledEpisodes(detection)
  const counts = Array.from({ length: parts }, () => ({
    episodes: new EpisodeQuality(detection),
    scores: new LabelledScores(),
  }))
  let at = 0
  const { events, alerts } = await backtest({
    ...options,
    pipeline,
    rows,
    label,
    onEvent({ verdict, label }) {
      // Rows without order may lie sorted by their labels.
      const part = isOfRows ? at % parts : Math.floor((2 * at * parts) / rows.length) - parts
      at++
      const episode = label === undefined ? undefined : labelled.next(verdict, label)
      // The first half is for learning: forests take longer than profiles, and would lose for that alone.
      if (part < 0) return
      const { episodes, scores } = counts[part]!
      episodes.add(verdict, episode)
      if (label !== undefined) scores.add(verdict.anomalyScore, verdict.isAnomaly, label)
    },
  })
  return {
    events,
    alerts,
    parts: counts.map(({ episodes, scores }) => (isOfRows ? partOfRows(scores) : partOfEpisodes(episodes))),
  }
}

/** Of copies with other anomalies each: every other one together. */
function halvesOf(copies: readonly TrialPart[]): TrialPart[] {
  return [0, 1].map((half) => {
    const of = copies.filter((_, copy) => copy % 2 === half)
    const sum = (count: (part: TrialPart) => number) => of.reduce((total, part) => total + count(part), 0)
    const [found, missed] = [sum((part) => part.found), sum((part) => part.missed)]
    const quality = found + missed === 0 ? Number.NaN : found / (found + missed)
    return { found, missed, wrong: sum(({ wrong }) => wrong), days: sum(({ days }) => days), quality }
  })
}

function partOfRows(scores: LabelledScores): TrialPart {
  const { averagePrecision, decided } = scores.evaluate()
  const found = decided.hits
  const missed = Math.round(found / decided.recall) - found || 0
  return { found, missed, wrong: decided.alerts - found, days: Number.NaN, quality: averagePrecision }
}

function partOfEpisodes({ figures: { truth, days } }: EpisodeQuality): TrialPart {
  const { found, missed, falseEpisodes: wrong } = truth ?? { found: 0, missed: 0, falseEpisodes: 0 }
  const quality = found + missed === 0 ? Number.NaN : (2 * found) / (2 * found + missed + wrong)
  return { found, missed, wrong, days, quality }
}

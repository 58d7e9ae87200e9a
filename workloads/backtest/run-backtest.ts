import { onSignals } from '../../lib/lifecycle.ts'
import { type EpisodeFigures, EpisodeQuality, LabelledEpisodes } from '../detection/episode-quality.ts'
import { delimiterArgument } from '../files/csv-header.ts'
import { InputCheck } from '../files/input-check.ts'
import { type InputFile, sizeOfAll } from '../files/input-files.ts'
import { LineWriter } from '../files/line-writer.ts'
import { writeRejection } from '../files/rejects.ts'
import { progressLine } from '../terminal/status-line.ts'
import { createLiveLine, type LiveLine } from '../terminal/terminal.ts'
import { type BacktestEvent, type BacktestOptions, type BacktestSummary, backtest } from './backtest.ts'
import type { LabelledScores } from './labelled-scores.ts'
import type { ReportCollector } from './report/report-collector.ts'

export interface RunBacktestOptions
  extends Required<Pick<BacktestOptions, 'pipeline' | 'files' | 'label' | 'delimiter' | 'seed'>> {
  readonly feedbackDelayMs: number | undefined
  readonly onnxFolder: string | undefined
  /** File for the verdicts. */
  readonly output: string | undefined
  /** File for the events that cannot be read. */
  readonly rejects: string | undefined
  readonly collector: ReportCollector | undefined
  readonly truth: LabelledScores | undefined
}

export interface BacktestRun {
  readonly summary: BacktestSummary
  readonly check: InputCheck
  readonly episodes: EpisodeFigures
  /** A signal ended it before the end of the input. */
  readonly stopped: boolean
  /** By `performance.now()`. */
  readonly began: number
}

/** A backtest that writes what it finds to files as it goes, shows how far it has come, and ends early at a signal. */
export async function runBacktest(options: RunBacktestOptions): Promise<BacktestRun> {
  const { pipeline, files, label, feedbackDelayMs, seed, onnxFolder, collector, truth } = options
  const output = options.output === undefined ? undefined : new LineWriter(options.output)
  const rejects = options.rejects === undefined ? undefined : new LineWriter(options.rejects)
  const stop = new AbortController()
  const letGo = onSignals(() => stop.abort())
  const quality = new EpisodeQuality(pipeline.spec.detection)
  const labelled = new LabelledEpisodes(pipeline.spec.detection)
  const live = createLiveLine()
  const progress = createProgress(files, live)
  const { counts, began } = progress
  const check = new InputCheck(pipeline, (line) => {
    live.clear()
    process.stderr.write(`anomaly: ${line}\n`)
  })

  function onEvent({ record, event, verdict, json, label }: BacktestEvent): void {
    output?.write(json)
    check.judged(record, event)
    collector?.add({
      index: counts.events + counts.rejected,
      verdict,
      value: event.value,
      ...(label === undefined ? undefined : { label: label === 1 }),
    })
    counts.events++
    if (verdict.isAnomaly) counts.alerts++
    if (label !== undefined) truth?.add(verdict.anomalyScore, verdict.isAnomaly, label)
    quality.add(verdict, label === undefined ? undefined : labelled.next(verdict, label))
  }

  try {
    const summary = await backtest({
      pipeline,
      files,
      label,
      feedbackDelayMs,
      delimiter: delimiterArgument(options.delimiter),
      seed,
      onnxFolder,
      signal: stop.signal,
      onBytes: progress.read,
      onEvent,
      onRejected: (record, rejection) => {
        counts.rejected++
        check.rejected(record, rejection)
        if (rejects !== undefined) writeRejection(rejects, record, rejection)
      },
    })
    return { summary, check, episodes: quality.figures, stopped: stop.signal.aborted, began }
  } finally {
    live.clear()
    output?.close()
    rejects?.close()
    letGo()
  }
}

/** Counts of a run, and a line with them that is shown at most ten times a second. */
function createProgress(files: readonly InputFile[], live: LiveLine) {
  const total = sizeOfAll(files)
  const began = performance.now()
  const counts = { events: 0, alerts: 0, rejected: 0 }
  let over = 0
  let shown = 0
  function show(): void {
    if (!live.isShown || performance.now() - shown < 100) return
    shown = performance.now()
    const seconds = (shown - began) / 1000
    const input = total === undefined ? undefined : { over, total }
    live.show(progressLine({ ...counts, seconds, input }, live.look))
  }
  return {
    began,
    counts,
    read(bytes: number): void {
      over += bytes
      show()
    },
  }
}

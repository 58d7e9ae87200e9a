import { createHash } from 'node:crypto'
import { canonicalJson } from '../../lib/canonical-json.ts'
import { AppError } from '../../lib/errors.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { resolveDecision } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { workloadPart } from '../../lib/pipeline/workload-part.ts'
import { version } from '../../lib/version.ts'
import { checkOutputs } from '../files/check-outputs.ts'
import { delimiterArgument } from '../files/csv-header.ts'
import { checkFieldPath } from '../files/field-path.ts'
import { InputCheck } from '../files/input-check.ts'
import { type Format, type InputFile, inputFiles, sizeOfAll } from '../files/input-files.ts'
import { LineWriter } from '../files/line-writer.ts'
import { writeRejection } from '../files/rejects.ts'
import { checkWritable, writeWhole } from '../files/whole-file.ts'
import { progressLine, summaryLines } from '../terminal/status-line.ts'
import { createLiveLine, lookOf } from '../terminal/terminal.ts'
import { formatNumber } from '../terminal/wording.ts'
import { type BacktestSummary, backtest } from './backtest.ts'
import { Column } from './column.ts'
import {
  averagePrecision,
  type DecisionQuality,
  decisionQuality,
  precisionRecallCurve,
  rankScores,
  rocAuc,
} from './evaluation.ts'
import { renderReport } from './report/render-report.ts'
import { createReportCollector } from './report/report-collector.ts'

export interface BacktestArguments {
  readonly file: string
  readonly input: readonly string[]
  readonly format?: Format | undefined
  readonly delimiter?: string | undefined
  readonly output?: string | undefined
  readonly label?: string | undefined
  readonly report?: string | undefined
  readonly rejects?: string | undefined
  readonly seed: number
}

/** @throws AppError */
export async function backtestCommand(args: BacktestArguments): Promise<void> {
  const pipeline = await loadPipeline(args.file)
  if (args.label !== undefined) checkLabel(args.label, pipeline)
  const files = inputFiles(args.input, args.format)
  checkOutputs({ output: args.output, rejects: args.rejects, report: args.report }, files)
  // Better refused now than after an hour.
  if (args.report !== undefined) checkWritable(args.report)
  const output = args.output === undefined ? undefined : new LineWriter(args.output)
  const rejects = args.rejects === undefined ? undefined : new LineWriter(args.rejects)
  const collector = args.report === undefined ? undefined : createReportCollector()
  const truth =
    args.label === undefined ? undefined : { scores: new Column(), labels: new Column(), decisions: new Column() }
  const stop = new AbortController()
  const onSignal = () => stop.abort()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, onSignal)

  const total = sizeOfAll(files)
  const live = createLiveLine()
  const began = performance.now()
  const counts = { events: 0, alerts: 0, rejected: 0 }
  const check = new InputCheck(pipeline, (line) => {
    live.clear()
    process.stderr.write(`anomaly: ${line}\n`)
  })
  let read = 0
  let shown = 0
  const show = () => {
    if (!live.isShown || performance.now() - shown < 100) return
    shown = performance.now()
    const seconds = (shown - began) / 1000
    live.show(
      progressLine(
        { ...counts, seconds, ...(total === undefined ? undefined : { input: { over: read, total } }) },
        live.look,
      ),
    )
  }

  let summary: BacktestSummary
  try {
    summary = await backtest({
      pipeline,
      files,
      label: args.label,
      delimiter: delimiterArgument(args.delimiter),
      seed: args.seed,
      signal: stop.signal,
      onBytes: (bytes) => {
        read += bytes
        show()
      },
      onEvent: ({ record, event, verdict, json, label }) => {
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
        if (truth === undefined || label === undefined) return
        truth.scores.push(verdict.anomalyScore)
        truth.labels.push(label)
        truth.decisions.push(verdict.isAnomaly ? 1 : 0)
      },
      onRejected: (record, rejection) => {
        counts.rejected++
        check.rejected(record, rejection)
        if (rejects !== undefined) writeRejection(rejects, record, rejection)
      },
    })
  } finally {
    live.clear()
    output?.close()
    rejects?.close()
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.off(signal, onSignal)
  }

  const stopped = stop.signal.aborted
  const unlabelled = truth !== undefined && truth.labels.length === 0 && summary.events > 0
  if (unlabelled && !stopped) throw noLabels(args.label!, files)
  const evaluation = truth === undefined || unlabelled ? undefined : evaluate(truth)
  const lines = summaryLines(
    { ...summary, seconds: (performance.now() - began) / 1000, rejectedBy: check.rejectedBy },
    lookOf(process.stderr),
  )
  if (stopped) lines.push('stopped before the end of the input; what is written is whole')
  const decision = resolveDecision(pipeline.spec.detection)
  const rate = summary.events === 0 ? 0 : Math.round((summary.alerts / summary.events) * 1e6)
  lines.push(
    `alerts per million: ${formatNumber(rate)}, ${decision.type === 'alertBudget' ? `${formatNumber(decision.perMillion)} requested` : `by the threshold ${decision.anomalyScore}`}`,
  )
  if (evaluation !== undefined) {
    const { rocAuc, averagePrecision, decided } = evaluation
    lines.push(
      `ROC AUC ${figure(rocAuc)}, average precision ${figure(averagePrecision)}, precision ${figure(decided.precision)} and recall ${figure(decided.recall)} at the ${decision.type === 'alertBudget' ? 'budget' : 'threshold'}`,
    )
  }
  process.stderr.write(`${lines.join('\n')}\n`)
  if (!stopped) check.finish()

  if (args.report === undefined || collector === undefined) return
  const page = renderReport({
    pipeline: pipeline.metadata.name,
    inputs: files.map(({ path }) => path),
    run: collector.finish(),
    keys: summary.keys,
    rejected: summary.rejected,
    budgetPerMillion: decision.type === 'alertBudget' ? decision.perMillion : undefined,
    evaluation,
    version,
    pipelineHash: createHash('sha256')
      .update(canonicalJson(workloadPart(pipeline)))
      .digest('hex')
      .slice(0, 12),
    seed: args.seed,
  })
  writeWhole(args.report, page)
}

/** What detection reads must not be the truth itself. */
function checkLabel(label: string, { spec: { event } }: Pipeline): void {
  checkFieldPath('--label', label)
  for (const field of ['id', 'time', 'key', 'value'] as const)
    if (event[field] === label)
      throw new AppError('InvalidArgument', `--label ${label}: the pipeline reads this field as the event's ${field}`)
}

interface Evaluation {
  readonly rocAuc: number
  readonly averagePrecision: number
  readonly curve: readonly { readonly recall: number; readonly precision: number }[]
  readonly decided: DecisionQuality
}

function noLabels(label: string, files: readonly InputFile[]): AppError {
  const [first, ...others] = files.map(({ path }) => path)
  const inputs = others.length === 0 ? first : `${first} and ${others.length} more`
  return new AppError('InvalidArgument', `--label ${label}: no row of ${inputs} has a field ${label} of 0 or 1`)
}

function evaluate(truth: { readonly scores: Column; readonly labels: Column; readonly decisions: Column }): Evaluation {
  const labels = Uint8Array.from(truth.labels.numbers())
  const ranked = rankScores(truth.scores.numbers().slice(), labels)
  return {
    rocAuc: rocAuc(ranked),
    averagePrecision: averagePrecision(ranked),
    curve: precisionRecallCurve(ranked),
    decided: decisionQuality(Uint8Array.from(truth.decisions.numbers()), labels),
  }
}

function figure(x: number): string {
  return Number.isNaN(x) ? 'undefined' : x.toFixed(4)
}

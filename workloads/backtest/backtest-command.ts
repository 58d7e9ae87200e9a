import { createHash } from 'node:crypto'
import { canonicalJson } from '../../lib/canonical-json.ts'
import { AppError } from '../../lib/errors.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { type Decision, resolveDecision } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { workloadPart } from '../../lib/pipeline/workload-part.ts'
import { durationMs } from '../../lib/time.ts'
import { version } from '../../lib/version.ts'
import { checkOutputs } from '../files/check-outputs.ts'
import { type Format, inputFiles } from '../files/input-files.ts'
import { checkWritable, writeWhole } from '../files/whole-file.ts'
import { summaryLines } from '../terminal/status-line.ts'
import { lookOf } from '../terminal/terminal.ts'
import { formatNumber } from '../terminal/wording.ts'
import type { BacktestSummary } from './backtest.ts'
import { checkLabel, noLabels } from './label.ts'
import { type Evaluation, LabelledScores } from './labelled-scores.ts'
import { renderReport } from './report/render-report.ts'
import { createReportCollector } from './report/report-collector.ts'
import { runBacktest } from './run-backtest.ts'

export interface BacktestArguments {
  readonly file: string
  readonly input: readonly string[]
  readonly format?: Format | undefined
  readonly delimiter?: string | undefined
  readonly output?: string | undefined
  readonly label?: string | undefined
  readonly feedbackDelay?: string | undefined
  readonly report?: string | undefined
  readonly rejects?: string | undefined
  readonly seed: number
  readonly onnxFolder?: string | undefined
}

/** @throws AppError */
export async function backtestCommand(args: BacktestArguments): Promise<void> {
  const pipeline = await loadPipeline(args.file)
  const { label, report, output, rejects, delimiter, seed } = args
  if (label !== undefined) checkLabel(label, pipeline)
  const feedbackDelayMs = args.feedbackDelay === undefined ? undefined : delayOf(args.feedbackDelay, label, pipeline)
  const files = inputFiles(args.input, args.format)
  checkOutputs({ output, rejects, report }, files)
  // Better refused now than after an hour.
  if (report !== undefined) checkWritable(report)
  const collector = report === undefined ? undefined : createReportCollector()
  const truth = label === undefined ? undefined : new LabelledScores()
  const inputs = { pipeline, files, label, feedbackDelayMs, delimiter, seed, onnxFolder: args.onnxFolder }
  const run = await runBacktest({ ...inputs, output, rejects, collector, truth })

  const { summary, episodes, stopped, check, began } = run
  const unlabelled = truth !== undefined && truth.count === 0 && summary.events > 0
  if (unlabelled && !stopped) throw noLabels(label!, files)
  const evaluation = unlabelled ? undefined : truth?.evaluate()
  const decision = resolveDecision(pipeline.spec.detection)
  const lines = summaryLines(
    { ...summary, seconds: (performance.now() - began) / 1000, rejectedBy: check.rejectedBy, episodes },
    lookOf(process.stderr),
  )
  if (stopped) lines.push('stopped before the end of the input; what is written is whole')
  lines.push(rateLine(summary, decision))
  if (evaluation !== undefined) lines.push(qualityLine(evaluation, decision))
  process.stderr.write(`${lines.join('\n')}\n`)
  if (!stopped) check.finish()

  if (report === undefined || collector === undefined) return
  const page = renderReport({
    pipeline: pipeline.metadata.name,
    inputs: files.map(({ path }) => path),
    run: collector.finish(),
    keys: summary.keys,
    rejected: summary.rejected,
    budgetPerMillion: decision.type === 'alertBudget' ? decision.perMillion : undefined,
    evaluation,
    episodes,
    version,
    pipelineHash: hashOf(pipeline),
    seed,
  })
  writeWhole(report, page)
}

/** @throws AppError where nothing would come of feedback */
function delayOf(text: string, label: string | undefined, { spec: { detection, event } }: Pipeline): number {
  const fail = (why: string): never => {
    throw new AppError('InvalidArgument', `--feedback-delay ${text}: ${why}`)
  }
  if (label === undefined) fail('goes with --label')
  if (detection.feedback === undefined) fail('the pipeline learns from none; add spec.detection.feedback: {}')
  if (event.time === '') fail('the events of the pipeline have no time')
  return durationMs(text) ?? fail('must be a duration such as 7d, 12h or 30m')
}

function rateLine({ events, alerts }: BacktestSummary, decision: Decision): string {
  const rate = events === 0 ? 0 : Math.round((alerts / events) * 1e6)
  const by =
    decision.type === 'alertBudget'
      ? `${formatNumber(decision.perMillion)} requested`
      : `by the threshold ${decision.anomalyScore}`
  return `alerts per million: ${formatNumber(rate)}, ${by}`
}

function qualityLine({ rocAuc, averagePrecision, decided }: Evaluation, decision: Decision): string {
  const at = decision.type === 'alertBudget' ? 'budget' : 'threshold'
  return `ROC AUC ${figure(rocAuc)}, average precision ${figure(averagePrecision)}, event by event precision ${figure(decided.precision)} and recall ${figure(decided.recall)} at the ${at}`
}

function figure(x: number): string {
  return Number.isNaN(x) ? 'undefined' : x.toFixed(4)
}

function hashOf(pipeline: Pipeline): string {
  return createHash('sha256')
    .update(canonicalJson(workloadPart(pipeline)))
    .digest('hex')
    .slice(0, 12)
}

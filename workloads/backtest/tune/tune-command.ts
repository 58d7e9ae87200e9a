import { readFileSync } from 'node:fs'
import { AppError } from '../../../lib/errors.ts'
import { onSignals } from '../../../lib/lifecycle.ts'
import { loadPipeline } from '../../../lib/pipeline/load-pipeline.ts'
import { version } from '../../../lib/version.ts'
import { type EpisodeFigures, EpisodeQuality } from '../../detection/episode-quality.ts'
import { checkOutputs } from '../../files/check-outputs.ts'
import { delimiterArgument } from '../../files/csv-header.ts'
import { InputCheck } from '../../files/input-check.ts'
import { type Format, inputFiles } from '../../files/input-files.ts'
import { readEvents } from '../../files/read-events.ts'
import { checkWritable, writeWhole } from '../../files/whole-file.ts'
import { createLiveLine } from '../../terminal/terminal.ts'
import { counted, formatNumber } from '../../terminal/wording.ts'
import { namedFields } from '../../wire/event-fields.ts'
import { backtest } from '../backtest.ts'
import { checkLabel } from '../label.ts'
import { type CollectedRun, createReportCollector } from '../report/report-collector.ts'
import { checkData } from './data-check.ts'
import { changesOf, proposedText } from './proposed-text.ts'
import { howCompared, renderTuneReport, unfitLines } from './render-tune-report.ts'
import { type Sample, takeSample } from './sample.ts'
import { type TuneOptions, type Tuning, tune } from './tune.ts'
import { alternativesTable, budgetsTable, tableText } from './tune-table.ts'

export interface TuneArguments {
  readonly file: string
  readonly input: readonly string[]
  readonly format?: Format | undefined
  readonly delimiter?: string | undefined
  readonly output?: string | undefined
  readonly label?: string | undefined
  readonly alertsPerDay?: number | undefined
  readonly events: number
  readonly report?: string | undefined
  readonly seed: number
  readonly onnxFolder?: string | undefined
}

/**
 * Tries a pipeline and others on a sample of past data, says what in it will hurt, and writes the document that is better.
 * @throws AppError
 */
export async function tuneCommand(args: TuneArguments): Promise<void> {
  const pipeline = await loadPipeline(args.file)
  const { label, report, output, seed, onnxFolder, alertsPerDay } = args
  if (label !== undefined) checkLabel(label, pipeline)
  else if (pipeline.spec.event.envelope !== undefined)
    throw new AppError('InvalidArgument', 'event.envelope: anomalies can be put into plain events only; name a --label')
  for (const [flag, count] of Object.entries({ events: args.events, 'alerts-per-day': alertsPerDay }))
    if (count !== undefined && !(count > 0)) throw new AppError('InvalidArgument', `--${flag}: must be above 0`)
  const files = inputFiles(args.input, args.format)
  checkOutputs({ output, report }, files)
  for (const path of [report, output]) if (path !== undefined && path !== '-') checkWritable(path)
  const document = readFileSync(args.file, 'utf8')

  const live = createLiveLine()
  const say = (text: string) => live.show(text.slice(0, live.look.columns - 1))
  const stop = new AbortController()
  const letGo = onSignals(() => stop.abort(new AppError('Internal', 'stopped: nothing is proposed')))
  try {
    const check = new InputCheck(pipeline, (line) => {
      live.clear()
      process.stderr.write(`anomaly: ${line}\n`)
    })
    const { signal } = stop
    const names = namedFields(pipeline.spec.event)
    const named = label === undefined ? names : [...names, label]
    const rows = readEvents(files, { signal, delimiter: delimiterArgument(args.delimiter), named })
    say('reading')
    const sample = await takeSample({ pipeline, files, rows, label, most: args.events, check, signal })
    check.finish()
    const onTrial = (name: string) => say(`trying ${name}`)
    const options = { pipeline, sample, files, label, alertsPerDay, seed, onnxFolder, signal, onTrial }
    const tuning = await tune(options)
    if (label !== undefined && tuning.alternatives[0]!.found + tuning.alternatives[0]!.missed === 0)
      throw new AppError('InvalidArgument', `--label ${label}: no event of the sample has a 1 there`)
    const { proposal } = tuning
    const { run, episodes } = await showProposal(options, tuning)
    signal.throwIfAborted()
    live.clear()

    const facts = [...factsOf(sample), `proposal: ${outcomeOf(run, episodes)}`]
    const findings = checkData(sample, pipeline.spec.event)
    const changes = changesOf(pipeline, proposal)
    process.stderr.write(summaryOf({ facts, findings, tuning, changes }))
    const proposed = proposedText(document, pipeline, proposal)
    const { name } = pipeline.metadata
    if (report !== undefined)
      writeWhole(
        report,
        renderTuneReport({ pipeline: name, facts, tuning, findings, changes, run, proposed, version, seed }),
      )
    if (output === undefined || output === '-') process.stdout.write(proposed)
    else writeWhole(output, proposed)
  } finally {
    live.clear()
    letGo()
  }
}

/** The proposal over the sample as it is. */
async function showProposal(
  { sample, files, label, seed, onnxFolder, signal }: TuneOptions,
  { proposal: pipeline }: Tuning,
): Promise<{ readonly run: CollectedRun; readonly episodes: EpisodeFigures }> {
  const collector = createReportCollector()
  const quality = new EpisodeQuality(pipeline.spec.detection)
  let index = 0
  await backtest({
    pipeline,
    files,
    rows: sample.events.map(({ record }) => record),
    label,
    seed,
    onnxFolder,
    signal,
    onEvent({ verdict, event, label }) {
      collector.add({ index: index++, verdict, value: event.value, ...(label !== undefined && { label: label === 1 }) })
      quality.add(verdict, undefined)
    },
  })
  return { run: collector.finish(), episodes: quality.figures }
}

function outcomeOf({ alerts }: CollectedRun, { episodes, days }: EpisodeFigures): string {
  const aDay = days >= 1 ? `, ${formatNumber(episodes / days)} a day` : ''
  return `${counted(alerts, 'alert')} in ${counted(episodes, 'episode')} of the sample${aDay}`
}

function factsOf({ events, share, read, isWhole }: Sample): string[] {
  const keys = new Set(events.map(({ event }) => event.key)).size
  const part = share === 1 ? '' : `, one key of ${formatNumber(1 / share)}`
  const all = isWhole ? 'all rows read' : `the first ${counted(read, 'row')} read`
  return [`sample: ${counted(events.length, 'event')} of ${counted(keys, 'key')}${part}`, all]
}

interface Summary {
  readonly facts: readonly string[]
  readonly findings: ReturnType<typeof checkData>
  readonly tuning: Tuning
  readonly changes: readonly string[]
}

function summaryOf({ facts, findings, tuning, changes }: Summary): string {
  const hurts = findings.flatMap(({ what, seen, so }) => [`  ${what}: ${seen}.`, `    ${so}.`])
  return `${[
    facts.join('; '),
    '',
    ...(hurts.length === 0
      ? ['Nothing in the data that tune looks for will hurt.']
      : ['What in the data will hurt', ...hurts]),
    '',
    `Detectors. ${howCompared(tuning)}`,
    ...tableText(alternativesTable(tuning)),
    ...unfitLines(tuning).map((line) => `  ${line}`),
    '',
    `Alert budget, with ${tuning.chosen.name}`,
    ...tableText(budgetsTable(tuning)),
    '',
    ...(changes.length === 0
      ? ['Nothing that was tried is better beyond chance: the document stays as it is.']
      : ['Proposed', ...changes.map((line) => `  ${line}`)]),
    '',
  ].join('\n')}\n`
}

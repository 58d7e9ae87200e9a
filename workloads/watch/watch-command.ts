import { AppError } from '../../lib/errors.ts'
import type { KafkaBatch } from '../../lib/kafka/records.ts'
import { onSignals } from '../../lib/lifecycle.ts'
import { createLogger } from '../../lib/log.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import type { Verdict } from '../detection/verdict.ts'
import { type KafkaArguments, kafkaSettingsOf } from '../settings/kafka-settings.ts'
import { lineOfFile } from '../settings/text-file.ts'
import { alertLine } from '../terminal/status-line.ts'
import { lookOf } from '../terminal/terminal.ts'
import { counted } from '../terminal/wording.ts'
import { isOfPipeline } from '../wire/pipeline-header.ts'
import { followStream } from './follow-stream.ts'

export interface WatchArguments extends KafkaArguments {
  readonly file?: string | undefined
  /** Of a detect API, in place of the pipeline's results topic. */
  readonly url?: string | undefined
  readonly tokenFile?: string | undefined
  /** Only verdicts that alert. */
  readonly alerts: boolean
  readonly fromBeginning: boolean
}

/** Prints the verdicts of a pipeline as they are published, until a signal comes. @throws AppError */
export async function watchCommand(args: WatchArguments): Promise<void> {
  const stop = new AbortController()
  const show = verdictPrinter(args)
  onSignals(() => stop.abort())
  await (args.url === undefined ? watchTopic : watchApi)(args, show.lines, stop.signal)
  say(`${counted(show.counts.verdicts, 'verdict')}, ${counted(show.counts.alerts, 'alert')}`)
}

type ShowVerdicts = (texts: readonly string[]) => void

async function watchTopic(args: WatchArguments, show: ShowVerdicts, signal: AbortSignal): Promise<void> {
  if (args.file === undefined) throw refused('name the pipeline with -f, or its API with --url')
  if (args.tokenFile !== undefined) throw refused('--token-file goes with --url')
  const pipeline = await loadPipeline(args.file)
  const settings = kafkaSettingsOf(pipeline, args, await createLogger({ level: 'warn' }))
  const { topic } = pipeline.spec.results
  const { tailTopic } = await import('../../lib/kafka/tail-topic.ts')
  const { name } = pipeline.metadata
  const onBatch = ({ records }: KafkaBatch) =>
    show(records.flatMap(({ headers, value }) => (isOfPipeline(headers, name) ? String(value) : [])))
  const tail = await tailTopic(settings, topic, onBatch, { from: args.fromBeginning ? 'Earliest' : 'Latest' })
  say(`watching ${topic} on ${settings.brokers.join(',')}; Ctrl-C ends it`)
  if (signal.aborted) await tail.stop()
  signal.addEventListener('abort', () => void tail.stop())
  await tail.ended
}

async function watchApi(args: WatchArguments, show: ShowVerdicts, signal: AbortSignal): Promise<void> {
  if (args.file !== undefined) throw refused('-f and --url exclude one another')
  if (args.fromBeginning) throw refused('--from-beginning needs -f: an API tells only of verdicts from now on')
  await followStream(args.url!, {
    token: args.tokenFile === undefined ? undefined : lineOfFile(args.tokenFile),
    only: args.alerts ? ['alert'] : ['verdict', 'alert'],
    onEvent: (_, json) => show([json]),
    say,
    signal,
  })
}

function verdictPrinter({ alerts }: WatchArguments) {
  const look = lookOf(process.stdout)
  const counts = { verdicts: 0, alerts: 0 }
  const lines: ShowVerdicts = (texts) => {
    const lines: string[] = []
    for (const text of texts) {
      const verdict = verdictOf(text)
      if (verdict === undefined) continue
      counts.verdicts++
      if (verdict.isAnomaly) counts.alerts++
      else if (alerts) continue
      // The sign tells an alert from other verdicts, also where there are no colours.
      const sign = alerts ? '' : verdict.isAnomaly ? '! ' : '  '
      lines.push(`${sign}${alertLine({ verdict }, { ...look, columns: look.columns - sign.length })}\n`)
    }
    process.stdout.write(lines.join(''))
  }
  return { lines, counts }
}

/** Undefined for what somebody else put into the topic. */
function verdictOf(text: string): Verdict | undefined {
  try {
    const verdict = JSON.parse(text) as Verdict
    return Array.isArray(verdict.reasons) ? verdict : undefined
  } catch {
    return undefined
  }
}

function say(note: string): void {
  process.stderr.write(`${note}\n`)
}

function refused(message: string): AppError {
  return new AppError('InvalidArgument', message)
}

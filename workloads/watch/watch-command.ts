import { createLogger } from '../../lib/log.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import type { Verdict } from '../detection/verdict.ts'
import { type KafkaArguments, kafkaSettingsOf } from '../settings/kafka-settings.ts'
import { alertLine } from '../terminal/status-line.ts'
import { lookOf } from '../terminal/terminal.ts'
import { counted } from '../terminal/wording.ts'

export interface WatchArguments extends KafkaArguments {
  readonly file: string
  /** Only verdicts that alert. */
  readonly alerts: boolean
  readonly fromBeginning: boolean
}

/** Prints the verdicts of a pipeline as they are published, until a signal comes. @throws AppError */
export async function watchCommand(args: WatchArguments): Promise<void> {
  const pipeline = await loadPipeline(args.file)
  const settings = kafkaSettingsOf(pipeline, args, await createLogger({ level: 'warn' }))
  const { topic } = pipeline.spec.results
  const look = lookOf(process.stdout)
  const counts = { verdicts: 0, alerts: 0 }
  const { tailTopic } = await import('../../lib/kafka/tail-topic.ts')
  const tail = await tailTopic(
    settings,
    topic,
    ({ records }) => {
      const lines: string[] = []
      for (const { value } of records) {
        const verdict = verdictOf(value)
        if (verdict === undefined) continue
        counts.verdicts++
        if (verdict.isAnomaly) counts.alerts++
        else if (args.alerts) continue
        // The sign tells an alert from other verdicts, also where there are no colours.
        const sign = args.alerts ? '' : verdict.isAnomaly ? '! ' : '  '
        lines.push(`${sign}${alertLine({ verdict }, { ...look, columns: look.columns - sign.length })}\n`)
      }
      process.stdout.write(lines.join(''))
    },
    { from: args.fromBeginning ? 'Earliest' : 'Latest' },
  )
  process.stderr.write(`watching ${topic} on ${settings.brokers.join(',')}; Ctrl-C ends it\n`)
  const onSignal = () => void tail.stop()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, onSignal)
  await tail.ended
  process.stderr.write(`${counted(counts.verdicts, 'verdict')}, ${counted(counts.alerts, 'alert')}\n`)
}

/** Undefined for what somebody else put into the topic. */
function verdictOf(value: Buffer | string | null): Verdict | undefined {
  try {
    const verdict = JSON.parse(String(value)) as Verdict
    return Array.isArray(verdict.reasons) ? verdict : undefined
  } catch {
    return undefined
  }
}

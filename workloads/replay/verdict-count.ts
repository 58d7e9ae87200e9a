import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { sleep } from '../../lib/time.ts'
import { counted, formatNumber } from '../terminal/wording.ts'
import { fieldReader } from '../wire/event-fields.ts'
import { writtenNumber } from '../wire/json-body.ts'

/** Without a verdict for so long, no more are waited for. */
const patienceMs = 15_000
const lookMs = 100

/** Counts the verdicts of events that were sent, as they come on their topic. */
export interface VerdictCount {
  sent(events: readonly string[]): void
  /** Waits until all that were sent are judged, or no verdict comes any more; says what came. */
  finish(signal: AbortSignal): Promise<string>
  stop(): Promise<void>
}

/** @param topics of the events and of the verdicts; undefined where there are no verdicts to count */
export async function countVerdicts(
  settings: KafkaSettings,
  topics: { readonly events: string; readonly results: string },
): Promise<VerdictCount> {
  const { tailTopic } = await import('../../lib/kafka/tail-topic.ts')
  const waiting = new Set<string>()
  let unnamed = 0
  let sent = 0
  const counts = { judged: 0, alerts: 0 }
  let lastAt = performance.now()
  const tail = await tailTopic(
    settings,
    topics.results,
    ({ records }) => {
      for (const { value } of records) {
        const verdict = verdictOf(String(value))
        if (verdict === undefined || !isOurs(verdict.eventId)) continue
        lastAt = performance.now()
        counts.judged++
        if (verdict.isAnomaly) counts.alerts++
      }
    },
    { from: 'Latest' },
  )

  /** An event without an id of its own is named after its place in the topic. */
  function isOurs(eventId: string): boolean {
    if (waiting.delete(eventId)) return true
    if (unnamed === 0 || !eventId.startsWith(`${topics.events}-`)) return false
    unnamed--
    return true
  }

  return {
    sent(events) {
      for (const event of events) {
        const id = idOf(event)
        if (id === undefined) unnamed++
        else waiting.add(id)
      }
      sent += events.length
      lastAt = performance.now()
    },
    async finish(signal) {
      while (waiting.size + unnamed > 0 && performance.now() - lastAt < patienceMs && !signal.aborted)
        await sleep(lookMs, { signal })
      const missing = waiting.size + unnamed
      const rest = missing === 0 ? '' : `; ${formatNumber(missing)} have no verdict in ${topics.results} yet`
      return `${formatNumber(counts.judged)} of ${counted(sent, 'event')} judged, ${counted(counts.alerts, 'alert')}${rest}`
    },
    stop: () => tail.stop(),
  }
}

function verdictOf(json: string): { readonly eventId: string; readonly isAnomaly: boolean } | undefined {
  try {
    const verdict = JSON.parse(json) as { readonly eventId?: unknown; readonly isAnomaly?: unknown }
    const { eventId, isAnomaly } = verdict
    return typeof eventId === 'string' && typeof isAnomaly === 'boolean' ? { eventId, isAnomaly } : undefined
  } catch {
    return undefined
  }
}

const readId = fieldReader('eventId')

function idOf(event: string): string | undefined {
  try {
    const read = (body: unknown) => readId(body as Record<string, unknown>)
    const id = read(JSON.parse(event))
    if (typeof id === 'number') return Number.isSafeInteger(id) ? String(id) : writtenNumber(id, event, read)
    return typeof id === 'string' && id !== '' ? id : undefined
  } catch {
    return undefined
  }
}

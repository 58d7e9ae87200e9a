import type { Logger } from '../../lib/log.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { InputRecord } from '../files/input-record.ts'
import type { History, JudgedEvent } from '../history/history.ts'
import { isVerdict, type ProcessedBatch } from '../judging/processor.ts'
import { verdictJson, withReference } from '../wire/verdict-bytes.ts'

export interface Recorder {
  /** To be told of every batch that took effect. */
  observe(processed: ProcessedBatch): void
}

/** Writes what is judged to a history. Where that fails detection goes on, and the log says so once. */
export function createRecorder(history: History, log: Logger): Recorder {
  let isFailing = false
  return {
    observe({ batch, outcomes, events, published, took, episodes }) {
      const judged: JudgedEvent[] = []
      for (const [i, outcome] of outcomes.entries()) {
        if (!isVerdict(outcome)) continue
        const { value } = events[i]!
        judged.push({
          verdict: outcome,
          json: withReference(published[i] ?? verdictJson(outcome, took), Number.isNaN(value) ? {} : { value }),
          value,
          event: standsOut(outcome) ? textOf(batch.records[i] as InputRecord) : undefined,
        })
      }
      history.record(judged, episodes).then(
        () => {
          isFailing = false
        },
        (error: Error) => {
          if (!isFailing) log.error({ error: error.message }, 'the history cannot be written; detection goes on')
          isFailing = true
        },
      )
    },
  }
}

const standsOut = ({ isAnomaly, suppressedBy }: Verdict): boolean => isAnomaly || suppressedBy !== undefined

/** The event as JSON. */
function textOf({ value, body }: InputRecord): string {
  return value === null || body !== undefined ? JSON.stringify(body ?? null) : String(value)
}

import type { KeyObject } from 'node:crypto'
import { failureOf } from '../../lib/kafka/errors.ts'
import type { OutgoingRecord } from '../../lib/kafka/records.ts'
import { batches } from '../state/batches.ts'
import { signVerdict } from '../wire/signed-verdict.ts'
import type { EventPublisher } from './event-publisher.ts'
import type { Job, JudgedJob } from './job.ts'
import { together } from './together.ts'

export interface VerdictPublisherOptions {
  readonly topic: string
  readonly publisher: Pick<EventPublisher, 'deliver'>
  readonly signingKey: KeyObject
  /** Time that is left for these jobs, in ms. */
  readonly timeLeft: (jobs: readonly Job[]) => number
  readonly published: (judged: readonly JudgedJob[]) => Promise<void>
  readonly tooLarge: (job: Job) => void
  /** Nothing of them is in the topic. */
  readonly notSent: (jobs: readonly Job[], error: unknown) => void
  /** They may be in the topic, or some of them. */
  readonly unknown: (judged: readonly JudgedJob[], error: unknown) => void
}

/** Settles when it is known what became of them, or that it is not. */
export type PublishVerdicts = (judged: readonly JudgedJob[]) => Promise<void>

/** Of a send: far below what a topic takes by default (1 MiB). */
const sendBytes = 256 * 1024

/** Sends events on, each with its verdict. Several sends may be under way at once. */
export function createVerdictPublisher(options: VerdictPublisherOptions): PublishVerdicts {
  const { topic, publisher, signingKey, timeLeft, published, tooLarge, notSent, unknown } = options

  function recordOf({ job, json }: JudgedJob): OutgoingRecord {
    const { event, isIdAssigned, value, trace, place } = job
    const record = { topic, key: event.key, value }
    const headers = signVerdict(signingKey, { ...record, eventId: event.id }, json, { isIdAssigned })
    const trail = trace && { traceparent: trace.traceparent }
    return { ...record, partition: place.partition, headers: { ...headers, ...trail } }
  }

  async function publish(judged: readonly JudgedJob[]): Promise<void> {
    const jobs = judged.map(({ job }) => job)
    for (const job of jobs) job.stored = 'Unknown'
    const records = judged.map(recordOf)
    const delivery = await together('publish events', 'producer', jobs, () =>
      publisher.deliver(records, { startMs: timeLeft(jobs) }),
    )
    if (delivery.outcome === 'Sent') return published(judged)
    if (judged.length === 1 && failureOf(delivery.error) === 'TooLarge') return tooLarge(jobs[0]!)
    if (delivery.outcome === 'Unknown') return unknown(judged, delivery.error)
    // One of them is known to be too large before anything is sent.
    if (failureOf(delivery.error) === 'TooLarge') return void (await Promise.all(judged.map((one) => publish([one]))))
    notSent(jobs, delivery.error)
  }

  return async (judged) => {
    await Promise.all(Array.from(batches(judged, sizeOfJudged, sendBytes), publish))
  }
}

/** About: headers and what a record has besides take less than 400 bytes. */
function sizeOfJudged({ job, json }: JudgedJob): number {
  return job.value.length + json.length + 400
}

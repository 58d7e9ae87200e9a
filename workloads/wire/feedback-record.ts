import * as z from 'zod'
import type { OutgoingRecord, StreamRecord } from '../../lib/kafka/records.ts'
import { type Feedback, feedbackLabels } from '../detection/feedback.ts'
import type { Verdict } from '../detection/verdict.ts'
import { maxIdLength } from './decode.ts'
import { parseBody } from './json-body.ts'
import type { Rejection } from './rejection.ts'

/** Marks a record of the topic of events that is no event but what somebody said of one. */
export const feedbackHeader = 'anomaly-feedback'

const text = z.string().min(1).max(maxIdLength)
const number = z.number().nullable()
const reason = z.object({
  detector: text,
  feature: text,
  category: z.string().max(maxIdLength).optional(),
  observed: number,
  expected: number,
  contribution: z.number().min(0).max(1),
})
const secondaryKeys = z.record(text, z.string().max(maxIdLength))
const body = z.object({
  eventId: text.optional(),
  label: z.enum(feedbackLabels),
  /** When it was said, in ms since 1970. */
  time: z.number().optional(),
  /** Who says it. */
  by: text.optional(),
  /** The event's own, by the name of the field, where its verdict does not say them. */
  secondaryKeys: secondaryKeys.optional(),
  verdict: z
    .object({
      eventId: text,
      userId: z.string().max(maxIdLength),
      anomalyScore: z.number().min(0).max(1),
      reasons: z.array(reason).max(64),
      modelVersion: z.string().max(maxIdLength).optional(),
      secondaryKeys: secondaryKeys.optional(),
    })
    .optional(),
})

/** What somebody said of an event, and its verdict where it came along. */
export interface FeedbackBody {
  readonly eventId: string
  readonly label: Feedback['label']
  readonly time?: number | undefined
  /** Of a request, as whom it was let through. */
  readonly by?: string | undefined
  readonly secondaryKeys?: Readonly<Record<string, string>> | undefined
  readonly verdict?: KnownVerdict | undefined
}

/** What is needed of a verdict to learn from what is said of it. */
export type KnownVerdict = Pick<Verdict, 'userId' | 'anomalyScore' | 'reasons'> &
  Partial<Pick<Verdict, 'modelVersion' | 'secondaryKeys'>>

/** Reads the JSON of a request or a record. The id may be left to the verdict. */
export function readFeedback(value: unknown): FeedbackBody | Rejection {
  const parsed = body.safeParse(value)
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!
    const field = path.join('.')
    return { reason: 'InvalidFeedback', ...(field !== '' && { field }), message: `${field || 'feedback'}: ${message}` }
  }
  const { eventId = parsed.data.verdict?.eventId, ...said } = parsed.data
  if (eventId === undefined)
    return { reason: 'InvalidFeedback', field: 'eventId', message: 'eventId: neither it nor a verdict is given' }
  if (said.verdict !== undefined && said.verdict.eventId !== eventId)
    return { reason: 'InvalidFeedback', field: 'verdict.eventId', message: 'verdict.eventId: is of another event' }
  return { ...said, eventId } as FeedbackBody
}

/** Takes its place among the events of its key. */
export function feedbackRecord(said: FeedbackBody & { readonly verdict: KnownVerdict }, topic: string): OutgoingRecord {
  const { eventId, verdict } = said
  const { userId, secondaryKeys, anomalyScore, reasons, modelVersion } = verdict
  const known = { eventId, userId, secondaryKeys, anomalyScore, reasons, modelVersion }
  const value = JSON.stringify({ ...said, verdict: known })
  return { topic, key: userId, value, headers: { [feedbackHeader]: said.label } }
}

/**
 * What a record of the topic of events says of an event; undefined for an event.
 * @param names of the pipeline's secondary keys
 */
export function feedbackIn(
  { headers, value, timestamp }: StreamRecord,
  names: readonly string[] = [],
): Feedback | Rejection | undefined {
  if (headers?.[feedbackHeader] === undefined) return undefined
  const parsed = parseBody(value)
  if ('reason' in parsed) return parsed
  const said = readFeedback(parsed.value)
  if ('reason' in said) return said
  if (said.verdict !== undefined) return feedbackOf(said, said.verdict, { now: timestamp, names })
  return { reason: 'InvalidFeedback', field: 'verdict', message: 'verdict: is missing' }
}

/** @param names of the pipeline's secondary keys */
export function feedbackOf(
  { eventId, label, time, by, ...said }: FeedbackBody,
  { userId, anomalyScore, reasons, modelVersion, ...known }: KnownVerdict,
  { now, names = [] }: { readonly now: number; readonly names?: readonly string[] | undefined },
): Feedback {
  return {
    eventId,
    key: userId,
    secondaryKeys: names.map((name) => said.secondaryKeys?.[name] ?? known.secondaryKeys?.[name] ?? ''),
    label,
    time: time ?? now,
    ...(by !== undefined && { by }),
    anomalyScore,
    reasons,
    ...(modelVersion !== undefined && { modelVersion }),
  }
}

/** How long alerts are known by their ids where people may speak of them. */
export const spokenOfSeconds = 30 * 86_400

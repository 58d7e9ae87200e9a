import type { Reason } from '../problem.ts'
import { type Fields, fieldsOf, type PodAnswer, problemText, storeOf } from './pod-answer.ts'

export const degradationReasons = [
  'StateUnavailable',
  'ModelUnavailable',
  'HistoryUnavailable',
  'ReceiverUnavailable',
  'OnnxUnavailable',
  'PinnedModelMissing',
  'ChallengerMissing',
  'OffsetsLost',
  'Unprocessable',
  'SchemaFull',
  'KeysMisplaced',
] as const

/** Something with which a pipeline goes on working, but not as it should. */
export interface Degradation extends Reason {
  readonly reason: (typeof degradationReasons)[number]
}

/** What pods say in words of their own. */
type Told =
  | 'StateUnavailable'
  | 'ModelUnavailable'
  | 'HistoryUnavailable'
  | 'ReceiverUnavailable'
  | 'OnnxUnavailable'
  | 'PinnedModelMissing'
  | 'ChallengerMissing'

const messages: Readonly<Record<Exclude<Degradation['reason'], Told>, string>> = {
  OffsetsLost: 'records were deleted by retention before they were read: their events have no verdict',
  Unprocessable: 'records failed again and again and became dead letters: look at the topic of dead letters',
  SchemaFull: 'events bring more feature names than the pipeline keeps: those beyond are left out',
  KeysMisplaced:
    'producers place keys otherwise than source.partitioner says, or records have no key: a key has a history a partition',
}

/** Of what the pods answered; the gravest first, each reason once. */
export function degradationsOf(answers: readonly PodAnswer[]): readonly Degradation[] {
  const found = new Map<Degradation['reason'], string>()
  for (const { role, status } of answers) {
    const fields = fieldsOf(status)
    const { inference } = fields
    const store = storeOf(fields)
    if (isProblem(store)) found.set('StateUnavailable', `${role}: ${problemText(store)}`)
    if (isProblem(inference)) found.set('ModelUnavailable', `${role}: ${problemText(inference)}`)
    const { problem: history } = fieldsOf(fields.history)
    if (role === 'recorder' && isProblem(history))
      found.set('HistoryUnavailable', `${role}: ${problemText(history)}; what is published waits to be recorded`)
    const receiver = role === 'recorder' ? unreachedOf(fields.notifications) : undefined
    if (receiver !== undefined) found.set('ReceiverUnavailable', `${role}: ${receiver}`)
    const { pin, challenger, onnx } = fieldsOf(fields.modelProblems)
    if (isProblem(onnx)) found.set('OnnxUnavailable', `${role}: ${problemText(onnx)}; the other detectors decide`)
    if (isProblem(pin))
      found.set(
        'PinnedModelMissing',
        `${problemText(pin)}: detection.model.pin changes nothing, the present model serves`,
      )
    if (isProblem(challenger))
      found.set('ChallengerMissing', `${problemText(challenger)}: detection.model.challenger decides on no keys`)
    for (const [reason, message] of Object.entries(messages))
      if (isSet(fields, reason)) found.set(reason as Degradation['reason'], `${role}: ${message}`)
  }
  return degradationReasons.flatMap((reason) => {
    const message = found.get(reason)
    return message === undefined ? [] : [{ reason, message }]
  })
}

/** The first of the receivers that cannot be told, and why. */
function unreachedOf(notifications: unknown): string | undefined {
  for (const [name, told] of Object.entries(fieldsOf(notifications))) {
    const { problem } = fieldsOf(told)
    if (isProblem(problem)) return `notification ${name.slice(0, 40)}: ${problemText(problem)}`
  }
  return undefined
}

const isProblem = (said: unknown): said is string => typeof said === 'string' && said !== 'ok'

/** Whether a pod says so in its `conditions`: `OffsetsLost` is `offsetsLost` there, as true or as a number that is not 0. */
function isSet({ conditions }: Fields, reason: string): boolean {
  const said = fieldsOf(conditions)[`${reason[0]!.toLowerCase()}${reason.slice(1)}`]
  return said === true || (typeof said === 'number' && said > 0)
}

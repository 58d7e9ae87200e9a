import { AppError, type ErrorCode, messageOf } from '../errors.ts'

/**
 * What a failure of Kafka asks of the caller.
 *
 * - `Fenced`: another producer of the same transactional id has taken over. Let go of what it stands for.
 * - `Rejoin`: the group has a new generation. Finish what is in work and join anew.
 * - `Expelled`: this member is none any more. Stop at once and join anew.
 * - `TooLarge`: what was sent at once exceeds what the topic takes. Send less.
 * - `Missing`: there is no such topic or partition.
 * - `Denied`: the broker does not let this client do it.
 * - `Coordinator`: the coordinator is just being made, loads or moves. The same again in a moment, whatever it was.
 * - `Passing`: the broker or the connection. The same again in a moment, where it may be done twice.
 * - `Other`: none of these.
 */
export type KafkaFailure =
  | 'Fenced'
  | 'Rejoin'
  | 'Expelled'
  | 'TooLarge'
  | 'Missing'
  | 'Denied'
  | 'Coordinator'
  | 'Passing'
  | 'Other'

const codes: Partial<Record<KafkaFailure, ErrorCode>> = {
  Fenced: 'Fenced',
  TooLarge: 'InvalidArgument',
  Missing: 'NotFound',
}

export class KafkaError extends AppError {
  readonly failure: KafkaFailure

  constructor(failure: KafkaFailure, message: string, options: { readonly cause?: unknown } = {}) {
    super(codes[failure] ?? 'Unavailable', message, { ...options, server: 'kafka' })
    this.failure = failure
  }
}

/** Kafka's own names of errors, and kafkajs' of what happens to connections. */
const failures: ReadonlyMap<string, KafkaFailure> = new Map<string, KafkaFailure>([
  ['INVALID_PRODUCER_EPOCH', 'Fenced'],
  ['PRODUCER_FENCED', 'Fenced'],
  // Newer than kafkajs' table: PRODUCER_FENCED.
  ['Unknown error code 90', 'Fenced'],
  ['REBALANCE_IN_PROGRESS', 'Rejoin'],
  ['ILLEGAL_GENERATION', 'Expelled'],
  ['UNKNOWN_MEMBER_ID', 'Expelled'],
  ['MESSAGE_TOO_LARGE', 'TooLarge'],
  ['RECORD_LIST_TOO_LARGE', 'TooLarge'],
  ['UNKNOWN_TOPIC_OR_PARTITION', 'Missing'],
  ['TOPIC_AUTHORIZATION_FAILED', 'Denied'],
  ['NOT_COORDINATOR_FOR_GROUP', 'Coordinator'],
  ['GROUP_LOAD_IN_PROGRESS', 'Coordinator'],
  ['GROUP_COORDINATOR_NOT_AVAILABLE', 'Coordinator'],
  ['KafkaJSGroupCoordinatorNotFound', 'Coordinator'],
  ['CONCURRENT_TRANSACTIONS', 'Passing'],
  ['REQUEST_TIMED_OUT', 'Passing'],
  ['KafkaJSConnectionError', 'Passing'],
  ['KafkaJSConnectionClosedError', 'Passing'],
  ['KafkaJSRequestTimeoutError', 'Passing'],
  ['KafkaJSBrokerNotFound', 'Passing'],
])
const unknownCode = -99

/** What anything that was thrown asks of the caller: Kafka's own error is looked for under those that wrap it. */
export function failureOf(error: unknown): KafkaFailure {
  let found: KafkaFailure = 'Other'
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof KafkaError) return at.failure
    const { type, code } = at as { readonly type?: unknown; readonly code?: unknown }
    const name = code === unknownCode ? at.message : typeof type === 'string' ? type : at.name
    const failure = failures.get(name)
    if (failure === 'Fenced') return failure
    if (failure !== undefined && found === 'Other') found = failure
  }
  return found
}

/** The same error as one of ours, with what it asks of the caller. */
export function kafkaErrorOf(error: unknown, what: string): AppError {
  if (error instanceof AppError) return error
  return new KafkaError(failureOf(error), `Cannot ${what}: ${messageOf(error)}`, { cause: error })
}

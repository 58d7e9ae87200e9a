import {
  type ChannelOptions,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { AppError, messageOf } from '../../lib/errors.ts'
import type { Part } from '../../lib/lifecycle.ts'
import { RetryBudget } from '../../lib/retry-budget.ts'
import { inject, traced } from '../../lib/telemetry.ts'
import { backoff, sleep } from '../../lib/time.ts'
import type { RowExplanation, ScoredRows } from '../detection/scored-rows.ts'
import { type ScoreRowsRequest, type ScoreRowsResponse, ScoringServiceClient } from '../gen/anomaly/v1/scoring.ts'
import { packIds, packNumbers, schemaIdOf, unpackNumbers } from './packed-rows.ts'
import type { RowBatch, Scorer } from './scorer.ts'

export interface GrpcScorerOptions {
  /** host:port, or a target as gRPC names it; every address behind the name is used in turn, and looked up again when one fails. */
  readonly address: string
  /** For a batch as a whole, retries included. */
  readonly deadlineMs?: number | undefined
  /** For one try of it. */
  readonly attemptMs?: number | undefined
  /** Of a message, either way. */
  readonly maxMessageBytes?: number | undefined
  /** How many models the pipeline has: answers of more or fewer are none. */
  readonly models?: number | undefined
  /** The models do not learn these rows. */
  readonly scoreOnly?: boolean | undefined
}

export interface GrpcScorer extends Scorer, Part {
  /** Why the last batch could not be scored, or undefined. */
  problem(): string | undefined
  stop(): void
}

/** While calls fail, one try takes no longer than this: callers degrade soon, and the first answer ends it. */
const failingAttemptMs = 250
/** A schema's columns go with so many calls, and again after a server did not know it: several for each server there may be. */
const callsWithColumns = 64

/** Scores rows at the inference service. */
export function createGrpcScorer(options: GrpcScorerOptions): GrpcScorer {
  const { address, deadlineMs = 2000, attemptMs = 1000, maxMessageBytes = 16 * 2 ** 20, scoreOnly = false } = options
  const channelOptions: ChannelOptions = {
    'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
    'grpc.service_config_disable_resolution': 1,
    // By default 30 s pass before a name is looked up again, and reconnects wait for up to two minutes.
    'grpc.dns_min_time_between_resolutions_ms': 1000,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1000,
    // Finds out within two seconds that a server hangs.
    'grpc.keepalive_time_ms': 1000,
    'grpc.keepalive_timeout_ms': 1000,
    'grpc.enable_retries': 0,
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
  }
  const target = /^[a-z0-9]+:\D/.test(address) ? address : `dns:///${address}`
  const client = new ScoringServiceClient(target, credentials.createInsecure(), channelOptions)
  const budget = new RetryBudget()
  const announcements = new Map<string, number>()
  let modelVersion = 'LEARNING'
  let problem: string | undefined

  function call(
    request: ScoreRowsRequest,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<ScoreRowsResponse> {
    const metadata = new Metadata()
    const trace = inject()
    if (trace !== undefined) {
      metadata.set('traceparent', trace.traceparent)
      if (trace.tracestate !== undefined) metadata.set('tracestate', trace.tracestate)
    }
    return new Promise((resolve, reject) => {
      const cancel = () => underway.cancel()
      const underway: ClientUnaryCall = client.scoreRows(
        request,
        metadata,
        { deadline: Date.now() + timeoutMs },
        (error, response) => {
          signal?.removeEventListener('abort', cancel)
          if (error === null) resolve(response)
          else reject(error)
        },
      )
      signal?.addEventListener('abort', cancel, { once: true })
    })
  }

  /** Calls are dealt out among the servers: each must see a schema's columns once. */
  async function attempt(
    batch: RowBatch,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<ScoreRowsResponse> {
    const { columns, rows, count, keyIds, explainFrom, times } = batch
    const schemaId = schemaIdOf(columns)
    const packed = packNumbers(rows.subarray(0, count * columns.length))
    const ends = performance.now() + timeoutMs
    const left = announcements.get(schemaId) ?? callsWithColumns
    if (left > 0) announcements.set(schemaId, left - 1)
    const request = {
      schemaId,
      rows: packed,
      keyIds: keyIds === undefined ? Buffer.alloc(0) : packIds(keyIds.subarray(0, count)),
      explainFrom,
      scoreOnly: scoreOnly || batch.scoreOnly === true,
      firstTime: times?.first,
      lastTime: times?.last,
      columns: left > 0 ? [...columns] : [],
    }
    return call(request, timeoutMs, signal).catch((error: ServiceError) => {
      if (error.code !== status.FAILED_PRECONDITION || request.columns.length > 0) throw error
      announcements.set(schemaId, callsWithColumns)
      return call({ ...request, columns: [...columns] }, ends - performance.now(), signal)
    })
  }

  async function score(batch: RowBatch, signal: AbortSignal | undefined): Promise<ScoredRows> {
    const ends = performance.now() + deadlineMs
    for (let tries = 1; ; tries++) {
      signal?.throwIfAborted()
      const left = ends - performance.now()
      try {
        const timeoutMs = Math.min(left, attemptMs, problem === undefined ? attemptMs : failingAttemptMs)
        const response = await attempt(batch, timeoutMs, signal)
        const scored = scoredRowsOf(response, batch.count, options.models)
        budget.succeeded()
        problem = undefined
        modelVersion = response.modelVersion
        return scored
      } catch (error) {
        signal?.throwIfAborted()
        const failure = failureOf(error, address)
        problem = failure.message
        if (isPermanent(error)) throw failure
        const pauseMs = backoff(tries, { baseMs: 50, maxMs: 1000 })
        if (performance.now() + pauseMs >= ends || !budget.spend()) throw failure
        await sleep(pauseMs, { signal })
      }
    }
  }

  return {
    name: 'inference client',
    get modelVersion() {
      return modelVersion
    },
    score: (batch, { signal } = {}) =>
      traced('score rows', { kind: 'client', attributes: { 'anomaly.rows': batch.count } }, () => score(batch, signal)),
    problem: () => problem,
    stop: () => client.close(),
  }
}

/** @throws RangeError where the answer does not fit the rows */
function scoredRowsOf(response: ScoreRowsResponse, count: number, models: number | undefined): ScoredRows {
  const numbers = unpackNumbers(response.surprisals)
  const detectors = count === 0 ? 0 : numbers.length / count
  if (!Number.isInteger(detectors)) throw new RangeError(`${numbers.length} surprisals for ${count} rows`)
  if (count > 0 && models !== undefined && detectors !== models)
    throw new RangeError(`surprisals of ${detectors} models, the pipeline has ${models}`)
  const surprisals = Array.from({ length: detectors }, (_, detector) =>
    numbers.subarray(detector * count, (detector + 1) * count),
  )
  const explanations = new Map<number, RowExplanation[]>()
  for (const { row, detector, column, observed = null, expected = null, contribution } of response.explanations) {
    if (row >= count || detector >= detectors) throw new RangeError(`an explanation of row ${row} by model ${detector}`)
    const ofRow = explanations.get(row) ?? []
    ofRow.push({ model: detector, column, observed, expected, contribution })
    explanations.set(row, ofRow)
  }
  const { modelVersion, challengerVersion } = response
  const challenged = new Set(response.challengedRows)
  return { modelVersionOf: (row) => (challenged.has(row) ? challengerVersion : modelVersion), surprisals, explanations }
}

/** The same call would fail the same way: another release answers, or a server of something else. */
function isPermanent(error: unknown): boolean {
  const { code } = error as Partial<ServiceError>
  return error instanceof RangeError || code === status.INVALID_ARGUMENT || code === status.UNIMPLEMENTED
}

/** Whatever is wrong with inference, it does not answer: that is for the pipeline to go on with, or to wait for. */
function failureOf(error: unknown, address: string): AppError {
  const { code, details = messageOf(error) } = error as Partial<ServiceError>
  const reason = error instanceof RangeError ? `it answered ${details}` : details
  const late = code === status.DEADLINE_EXCEEDED
  return new AppError(late ? 'DeadlineExceeded' : 'Unavailable', `inference at ${address}: ${reason}`, {
    cause: error,
    server: 'inference',
  })
}

import { status } from '@grpc/grpc-js'
import type { ScoreRowsRequest, ScoreRowsResponse } from '../gen/anomaly/v1/scoring.ts'
import { packNumbers, schemaIdOf, unpackIds, unpackNumbers } from '../scoring/packed-rows.ts'
import type { RowBatch } from '../scoring/scorer.ts'
import type { Replica } from './replica.ts'
import { RpcError } from './rpc-error.ts'

/** Names of columns in one call and of those left out in an answer, and the characters of a name. */
const [maxColumns, maxNamed, maxNameLength] = [1100, 16, 128]

/** The first of the names that were left out, as an answer says them. */
export function namedOf(leftOut: readonly string[]): string[] {
  return leftOut.slice(0, maxNamed).map((name) => name.slice(0, maxNameLength))
}

const isSpan = (first: number | undefined, last: number | undefined): boolean =>
  Number.isFinite(first) && Number.isFinite(last) && first! <= last!

/** Lists of columns remembered; the one unused for longest goes first, and its callers send it again. */
const maxSchemas = 256

/** Answers `ScoreRows`: rows of a schema that was sent once are scored and learnt. */
export class ScoringService {
  readonly #replica: Replica
  readonly #schemas = new Map<string, readonly string[]>()

  constructor(replica: Replica) {
    this.#replica = replica
  }

  /** @throws RpcError FAILED_PRECONDITION for an unknown schema, INVALID_ARGUMENT for rows that do not fit theirs */
  batchOf(request: ScoreRowsRequest): RowBatch {
    const columns = this.#columnsOf(request)
    const { explainFrom, scoreOnly, firstTime, lastTime } = request
    let rows: Float64Array
    try {
      rows = unpackNumbers(request.rows)
    } catch (error) {
      throw new RpcError(status.INVALID_ARGUMENT, `rows: ${(error as Error).message}`)
    }
    if (rows.length % columns.length !== 0)
      throw new RpcError(
        status.INVALID_ARGUMENT,
        `rows: ${rows.length} numbers make no rows of ${columns.length} columns`,
      )
    const count = rows.length / columns.length
    const times = isSpan(firstTime, lastTime) ? { first: firstTime!, last: lastTime! } : undefined
    return { columns, rows, count, keyIds: unpackIds(request.keyIds, count), explainFrom, scoreOnly, times }
  }

  scoreRows(batch: RowBatch, caller: string): ScoreRowsResponse {
    const { surprisals, explanations, modelVersion, challenged, leftOut } = this.#replica.scoreNow(batch, caller)
    const packed = new Float64Array(surprisals.length * batch.count)
    for (const [detector, ofDetector] of surprisals.entries()) packed.set(ofDetector, detector * batch.count)
    const response: ScoreRowsResponse = {
      modelVersion,
      surprisals: packNumbers(packed),
      explanations: [],
      leftOut: namedOf(leftOut),
      challengerVersion: challenged?.version ?? '',
      challengedRows: [...(challenged?.rows ?? [])],
    }
    for (const [row, reasons] of explanations)
      for (const { model, column, observed, expected, contribution } of reasons)
        response.explanations.push({
          row,
          detector: model,
          column,
          observed: observed ?? undefined,
          expected: expected ?? undefined,
          contribution,
        })
    return response
  }

  #columnsOf({ schemaId, columns }: ScoreRowsRequest): readonly string[] {
    const known = this.#schemas.get(schemaId)
    if (known !== undefined) {
      this.#schemas.delete(schemaId)
      this.#schemas.set(schemaId, known)
      return known
    }
    if (columns.length === 0)
      throw new RpcError(status.FAILED_PRECONDITION, `schema ${schemaId} is not known here: send its columns`)
    if (columns.length > maxColumns || columns.some(({ length }) => length > maxNameLength))
      throw new RpcError(
        status.INVALID_ARGUMENT,
        `columns: at most ${maxColumns} of ${maxNameLength} characters are allowed`,
      )
    if (schemaIdOf(columns) !== schemaId)
      throw new RpcError(
        status.INVALID_ARGUMENT,
        `schema_id: ${schemaId} is not that of the columns, ${schemaIdOf(columns)}`,
      )
    this.#schemas.set(schemaId, columns)
    if (this.#schemas.size > maxSchemas) {
      const [oldest] = this.#schemas.keys()
      this.#schemas.delete(oldest!)
    }
    return columns
  }
}

import { Server, ServerCredentials, status } from '@grpc/grpc-js'
import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { type ScoreRowsResponse, type ScoringServiceServer, ScoringServiceService } from '../gen/anomaly/v1/scoring.ts'
import { createGrpcScorer } from './grpc.ts'
import { packNumbers } from './packed-rows.ts'

type Answer = ScoreRowsResponse | { readonly code: status; readonly details: string }

const response = (over: Partial<ScoreRowsResponse> = {}): ScoreRowsResponse => ({
  modelVersion: 'forest-1',
  surprisals: packNumbers(Float64Array.of(1, 2)),
  explanations: [],
  leftOut: [],
  challengerVersion: '',
  challengedRows: [],
  ...over,
})
const batch = { columns: ['value'], rows: Float64Array.of(5, 6), count: 2, explainFrom: 1 }

describe('A scorer over gRPC, whatever it is answered', () => {
  let server: Server
  let answer: Answer
  let calls: number
  let scorer: ReturnType<typeof createGrpcScorer>

  beforeEach(async () => {
    calls = 0
    server = new Server()
    server.addService(ScoringServiceService, {
      scoreRows: ((_, callback) => {
        calls++
        if ('code' in answer) callback(answer)
        else callback(null, answer)
      }) satisfies ScoringServiceServer['scoreRows'],
    })
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    )
    scorer = createGrpcScorer({ address: `127.0.0.1:${port}`, models: 1, deadlineMs: 1500, attemptMs: 1500 })
    answer = response()
    await scorer.score(batch)
    calls = 0
  })
  afterEach(() => {
    scorer.stop()
    server.forceShutdown()
  })

  const explanation = { row: 0, detector: 0, column: 'value', observed: 5, expected: 1, contribution: 1 }
  const wrong: readonly (readonly [what: string, answer: Answer, message: string | RegExp, isRetried: boolean])[] = [
    ['too many columns', { code: status.INVALID_ARGUMENT, details: 'at most 1000 features' }, /1000 features/, false],
    ['a service that it does not have', { code: status.UNIMPLEMENTED, details: 'no such method' }, /no such/, false],
    ['an error of its own', { code: status.INTERNAL, details: 'a bug' }, 'a bug', true],
    ['too much work', { code: status.RESOURCE_EXHAUSTED, details: 'rows wait' }, 'rows wait', true],
    ['a refusal', { code: status.PERMISSION_DENIED, details: 'not you' }, 'not you', true],
    ['fewer surprisals than rows', response({ surprisals: packNumbers(Float64Array.of(1)) }), '1 surprisals', false],
    ['bytes that are no numbers', response({ surprisals: Buffer.alloc(7) }), '7 bytes', false],
    ['another number of models', response({ surprisals: packNumbers(new Float64Array(4)) }), '2 models', false],
    ['no surprisals', response({ surprisals: Buffer.alloc(0) }), '0 models', false],
    ['reasons of a row that was not sent', response({ explanations: [{ ...explanation, row: 2 }] }), 'row 2', false],
    ['reasons of no model', response({ explanations: [{ ...explanation, detector: 1 }] }), 'model 1', false],
  ]
  for (const [what, given, message, isRetried] of wrong)
    it(`takes ${what} for no answer, which passes`, async () => {
      answer = given
      const error = await scorer.score(batch).catch((error: unknown) => error)
      expect(error).to.be.instanceOf(AppError).and.have.property('retriable', true)
      // Of what was tried again until the deadline, the last try may have been cut off by it.
      if (!isRetried) expect((error as AppError).message).to.match(new RegExp(message))
      expect(scorer.problem()).to.equal((error as AppError).message)
      if (!isRetried) expect(calls).to.equal(1)
      if (isRetried) return
      answer = response({ explanations: [explanation] })
      const scored = await scorer.score(batch)
      expect([...scored.surprisals[0]!]).to.deep.equal([1, 2])
      expect(scorer.problem()).to.equal(undefined)
    })
})

// Scores a batch every 20 ms at the target named on the command line; one line of JSON about each.
import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '../../../lib/errors.ts'
import { createGrpcScorer } from '../../../workloads/scoring/grpc.ts'
import { packNumbers } from '../../../workloads/scoring/packed-rows.ts'

const columns = ['value', 'amount']
const scorer = createGrpcScorer({ address: process.argv[2]! })
for (;;) {
  const began = performance.now()
  const rows = Float64Array.from({ length: 20 }, Math.random)
  let outcome = 'OK'
  try {
    const scored = await scorer.score({ columns, rows, count: 10, explainFrom: 3 })
    if (packNumbers(scored.surprisals[0]! as Float64Array).length !== 80) outcome = 'Torn'
  } catch (error) {
    outcome = error instanceof AppError ? error.code : String(error)
  }
  process.stdout.write(`${JSON.stringify({ outcome, tookMs: Math.round(performance.now() - began) })}\n`)
  await delay(20)
}

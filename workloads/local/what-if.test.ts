import { expect } from 'chai'
import { createLogger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { WhatIf, type WhatIfAnswer } from '../detection/what-if.ts'
import { temporaryFolder } from '../files/temporary-folder.ts'
import type { History } from '../history/history.ts'
import { openSqliteHistory } from '../history/sqlite-history.ts'
import { createLocalPipeline } from '../judging/local-pipeline.ts'
import { isVerdict } from '../judging/processor.ts'
import { type SimulatedPayment, simulatePayments } from '../simulation/simulate-payments.ts'
import { createRecorder } from './recorder.ts'

const startTime = Date.UTC(2020, 0, 6)
const dayMs = 86_400_000

function pipelineOf(detection: object): Pipeline {
  return parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'payments' },
    spec: { source: { brokers: ['localhost:9092'] }, detection },
  })
}

/** Judges the payments, all of them, and answers with the ids of those that alerted. */
async function judge(
  pipeline: Pipeline,
  payments: readonly SimulatedPayment[],
  history?: History,
): Promise<Map<string, number>> {
  const alerts = new Map<string, number>()
  const recorder = history === undefined ? undefined : createRecorder(history, await createLogger({ level: 'silent' }))
  const local = createLocalPipeline({
    pipeline,
    seed: 1,
    fitting: 'Inline',
    observer: (processed) => {
      recorder?.observe(processed)
      for (const outcome of processed.outcomes)
        if (isVerdict(outcome) && outcome.isAnomaly) alerts.set(outcome.eventId, outcome.timestamp ?? 0)
    },
  })
  const running = local.run()
  for (const [i, { event }] of payments.entries()) {
    local.stream.append({
      key: event.userId,
      value: null,
      body: event,
      timestamp: event.timestamp,
      source: 'payments',
      row: i + 1,
      line: 0,
    })
    await local.stream.room()
  }
  local.stream.end()
  await running
  return alerts
}

async function ask(
  history: History,
  pipeline: Pipeline,
  perMillion: number,
  from: number,
  to: number,
): Promise<WhatIfAnswer> {
  const whatIf = new WhatIf({ spec: pipeline.spec, perMillion, from })
  for await (const portion of history.decided({ from: 2 * from - to, to, limit: 500_000 }))
    for (const event of portion) whatIf.add(event)
  return whatIf.answer
}

describe('What another budget would have made of the past', () => {
  const folder = temporaryFolder()
  after(() => folder.remove())

  it('is what a backtest with that budget makes of it, nearly', async () => {
    const simulated = simulatePayments({ seed: 5, users: 100, startTime })
    const payments = Array.from({ length: 15_000 }, (): SimulatedPayment => simulated.next().value)
    const end = payments.at(-1)!.event.timestamp + 1
    const pipeline = pipelineOf({ alertBudgetPerMillion: 1000 })
    const history = openSqliteHistory(`${folder.path}/history.db`)
    const recorded = await judge(pipeline, payments, history)
    let largest = recorded
    for (const perMillion of [300, 3000, 10_000]) {
      const backtest = await judge(pipelineOf({ alertBudgetPerMillion: perMillion }), payments)
      largest = backtest
      const { events, was, wouldBe, check, come, go } = await ask(history, pipeline, perMillion, startTime, end)
      expect(events).to.equal(payments.length)
      expect(was.alerts).to.equal(recorded.size)
      expect(check).to.deep.equal({ alerts: recorded.size, same: recorded.size })
      expect(wouldBe.alerts).to.be.closeTo(backtest.size, 1 + 0.05 * backtest.size)
      expect(wouldBe.episodes - was.episodes).to.equal(come.length - go.length)
      const [more, fewer] = perMillion > 1000 ? [come, go] : [go, come]
      if (perMillion > 1000) expect(more).to.not.have.length(0)
      expect(fewer).to.have.length(0)
    }
    // Of the last days alone, the threshold's past is not known.
    const from = end - 10 * dayMs
    const { wouldBe } = await ask(history, pipeline, 10_000, from, end)
    const real = [...largest.values()].filter((time) => time >= from).length
    expect(wouldBe.alerts).to.be.closeTo(real, 1 + 0.2 * real)
    await history.close()
  })

  it('leaves alone what a rule decided, and tries a budget where a fixed threshold decides', async () => {
    const simulated = simulatePayments({ seed: 6, users: 20, startTime })
    const payments = Array.from({ length: 2000 }, (): SimulatedPayment => simulated.next().value)
    const pipeline = pipelineOf({ threshold: '0.99', rules: [{ name: 'limit', field: 'value', above: '100' }] })
    const history = openSqliteHistory(`${folder.path}/rule.db`)
    await judge(pipeline, payments, history)
    const hits = payments.filter(({ event }) => event.value > 100).length
    const { was, wouldBe, check } = await ask(history, pipeline, 1, startTime, payments.at(-1)!.event.timestamp + 1)
    expect(hits).to.be.above(20)
    expect(wouldBe.alerts).to.equal(hits)
    expect(check).to.deep.equal({ alerts: was.alerts, same: was.alerts })
    await history.close()
  })
})

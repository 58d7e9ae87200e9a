import { expect } from 'chai'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { Verdict } from '../detection/verdict.ts'
import { simulatePayments } from '../simulation/simulate-payments.ts'
import { createLocalPipeline } from './local-pipeline.ts'
import { isVerdict } from './processor.ts'

const start = Date.UTC(2024, 0, 1)
const stream = simulatePayments({ seed: 3, users: 50, startTime: start })
const payments = Array.from({ length: 4000 }, () => stream.next().value!.event)
const sale = { from: payments[2500]!.timestamp, to: payments[2900]!.timestamp }
const isInSale = (payment: (typeof payments)[number]) => payment.timestamp >= sale.from && payment.timestamp < sale.to
/** In the sale everybody pays a thousand times as much. */
const dearer = payments.map((payment) => (isInSale(payment) ? { ...payment, value: 1000 * payment.value } : payment))
const calendars = [
  { name: 'sale', spans: [{ from: new Date(sale.from).toISOString(), to: new Date(sale.to).toISOString() }] },
]

function pipelineOf(detection: object): Pipeline {
  return parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'test' },
    spec: { source: { brokers: ['localhost:9092'] }, detection: { alertBudgetPerMillion: 20_000, ...detection } },
  })
}

async function verdictsOf(detection: object, events: readonly object[], batchSize = 500): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = []
  const local = createLocalPipeline({
    pipeline: pipelineOf(detection),
    seed: 1,
    fitting: 'Inline',
    batchSize,
    observer: ({ outcomes }) => verdicts.push(...outcomes.filter(isVerdict)),
  })
  const running = local.run()
  for (const [i, event] of events.entries()) {
    const value = JSON.stringify(event)
    local.stream.append({ key: null, value, timestamp: Number.NaN, source: 'payments', row: i + 1, line: i + 1 })
    await local.stream.room()
  }
  local.stream.end()
  await running
  return verdicts
}

describe('An event in a calendar', () => {
  const inSale = (verdicts: readonly Verdict[]) => verdicts.filter((_, i) => isInSale(payments[i]!))
  const later = (verdicts: readonly Verdict[]) => verdicts.filter(({ timestamp }) => timestamp! >= sale.to)

  it('is judged, and does not alert by budget or rule', async () => {
    const rules = [{ name: 'limit', field: 'value', above: '5000' }]
    const verdicts = inSale(await verdictsOf({ calendars, rules }, dearer))
    expect(verdicts.length).to.be.above(300)
    expect(verdicts.filter(({ isAnomaly }) => isAnomaly)).to.deep.equal([])
    const expected = verdicts.filter(({ suppressedBy }) => suppressedBy === 'Calendar')
    expect(expected.length).to.be.above(250)
    expect(Math.max(...verdicts.map(({ anomalyScore }) => anomalyScore))).to.be.above(0.999)
    const without = inSale(await verdictsOf({ rules }, dearer))
    expect(without.filter(({ isAnomaly }) => isAnomaly).length).to.be.above(100)
  })

  it('teaches nothing: later verdicts are as if it had not come, whatever it was', async () => {
    const detectors = [
      { name: 'discord', discord: {} },
      { name: 'forest', isolationForest: {} },
    ]
    const without = await verdictsOf(
      { calendars, detectors },
      payments.filter((payment) => !isInSale(payment)),
    )
    expect(later(await verdictsOf({ calendars, detectors }, dearer))).to.deep.equal(later(without))
    // A profile knows that its key was there: the interval begins with it.
    const [usual, dear] = await Promise.all([payments, dearer].map((events) => verdictsOf({ calendars }, events)))
    expect(later(dear!)).to.deep.equal(later(usual!))
    const firstOf = new Map<string, Verdict>()
    for (const verdict of later(dear!)) if (!firstOf.has(verdict.userId)) firstOf.set(verdict.userId, verdict)
    const byInterval = [...firstOf.values()].filter(
      ({ isAnomaly, reasons }) => isAnomaly && reasons[0]!.feature === 'interval',
    )
    expect(byInterval).to.deep.equal([])
  })

  it('has the same verdict wherever the stream is cut into batches', async () => {
    const whole = await verdictsOf({ calendars }, dearer)
    for (const batchSize of [7, 1000]) expect(await verdictsOf({ calendars }, dearer, batchSize)).to.deep.equal(whole)
  })
})

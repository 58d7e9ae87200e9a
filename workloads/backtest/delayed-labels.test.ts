import { expect } from 'chai'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Verdict } from '../detection/verdict.ts'
import { recordAt } from '../files/input-record.ts'
import { createLocalPipeline } from '../judging/local-pipeline.ts'
import { isVerdict } from '../judging/processor.ts'
import { DelayedLabels } from './delayed-labels.ts'

const hour = 3_600_000
const day = 24 * hour

interface Row {
  readonly userId: string
  readonly terminal: string
  readonly timestamp: number
  readonly value: number
  readonly label: 0 | 1
}

/** Two users of one terminal an hour, ordinary but for what `change` makes of them. */
function rowsOf(days: number, change: (row: Row, hours: number) => Partial<Row> | undefined): readonly Row[] {
  return Array.from({ length: days * 24 * 2 }, (_, i) => {
    const hours = i >> 1
    const row: Row = {
      userId: `u${i % 2}`,
      terminal: `t${i % 4}`,
      timestamp: 1_700_000_000_000 + hours * hour + (i % 2),
      value: 100 + 10 * Math.sin(7 * i),
      label: 0,
    }
    return { ...row, ...change(row, hours) }
  })
}

async function verdictsOf(rows: readonly Row[], options: { delayMs?: number; batchSize?: number } = {}) {
  const verdicts: Verdict[] = []
  const { delayMs, batchSize } = options
  const local = createLocalPipeline({
    pipeline: parsePipeline({
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata: { name: 'test' },
      spec: {
        source: { brokers: ['localhost:9092'] },
        event: { id: '', features: '', secondaryKeys: ['terminal'] },
        detection: {
          feedback: {},
          alertBudgetPerMillion: 10_000,
          refractorySeconds: 0,
          detectors: [{ name: 'profile', profile: {} }],
        },
      },
    }),
    seed: 1,
    fitting: 'Inline',
    ...(batchSize === undefined ? undefined : { batchSize }),
    feedback:
      delayMs === undefined
        ? undefined
        : new DelayedLabels({ delayMs, labelOf: (record) => (record as unknown as { body: Row }).body.label }),
    observer: ({ outcomes }) => verdicts.push(...outcomes.filter(isVerdict)),
  })
  for (const [i, row] of rows.entries())
    local.stream.append({ ...recordAt({ source: 'test', row: i + 1, line: i + 1 }, null), body: row })
  local.stream.end()
  await local.run()
  return verdicts
}

describe('DelayedLabels', () => {
  it('gives the same verdicts wherever batches are cut', async () => {
    const rows = rowsOf(30, ({ userId, terminal }, hours) =>
      hours % 61 === 60
        ? { value: 300 }
        : terminal === 't1' && userId === 'u1' && hours > 300
          ? { label: 1 }
          : undefined,
    )
    const whole = await verdictsOf(rows, { delayMs: 2 * hour })
    for (const batchSize of [1, 7, 499])
      expect(await verdictsOf(rows, { delayMs: 2 * hour, batchSize })).to.deep.equal(whole)
    expect(whole).to.not.deep.equal(await verdictsOf(rows))
  })

  it('stops alerting on what was called a false alarm, for that key and as far as that', async () => {
    const spiky = rowsOf(60, ({ userId }, hours) => (userId === 'u0' && hours % 97 === 96 ? { value: 300 } : undefined))
    const last = { ...spiky.at(-1)!, timestamp: spiky.at(-1)!.timestamp + hour }
    const rows = [...spiky, { ...last, userId: 'u0', value: 900 }, { ...last, userId: 'u1', value: 300 }]
    const alertsOf = (verdicts: readonly Verdict[]) =>
      verdicts.slice(rows.length / 2).filter(({ isAnomaly, userId }, i) => isAnomaly && userId === 'u0' && i > 0).length
    const without = await verdictsOf(rows)
    const learnt = await verdictsOf(rows, { delayMs: 12 * hour })
    expect(alertsOf(without)).to.be.above(2)
    expect(alertsOf(learnt)).to.equal(1)
    expect(learnt.slice(-2).map(({ isAnomaly }) => isAnomaly)).to.deep.equal([true, true])
  })

  it('finds the ordinary events of a terminal whose events were confirmed, and says why', async () => {
    const rows = rowsOf(40, ({ terminal }, hours) => (terminal === 't1' && hours > 500 ? { label: 1 } : undefined))
    const found = (verdicts: readonly Verdict[], terminal: string) =>
      verdicts
        .filter((_, i) => rows[i]!.terminal === terminal && i > rows.length - 200)
        .map(({ anomalyScore }) => anomalyScore)
    const learnt = await verdictsOf(rows, { delayMs: 7 * day })
    expect(Math.min(...found(learnt, 't1'))).to.be.above(0.99)
    expect(Math.min(...found(learnt, 't0'))).to.be.below(0.5)
    expect(Math.min(...found(await verdictsOf(rows), 't1'))).to.be.below(0.5)
    const [reason] = learnt.findLast((_, i) => rows[i]!.terminal === 't1')!.reasons
    expect(reason).to.include({ detector: 'feedback', feature: 'terminal', category: 't1', expected: null })
  })

  it('never learns as normal what was confirmed, however long it goes on', async () => {
    const rows = rowsOf(40, ({ userId }, hours) =>
      userId === 'u1' && hours > 600 ? { value: 300, label: 1 } : undefined,
    )
    const expectedLast = (verdicts: readonly Verdict[]) =>
      verdicts.at(-1)!.reasons.find(({ feature }) => feature === 'value')?.expected
    expect(expectedLast(await verdictsOf(rows))).to.be.within(290, 310)
    expect(expectedLast(await verdictsOf(rows, { delayMs: hour }))).to.be.within(90, 150)
  })
})

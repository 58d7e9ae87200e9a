import { expect } from 'chai'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { random } from '../detection/random.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { InputRecord } from '../files/input-record.ts'
import { createLocalPipeline } from './local-pipeline.ts'

const perMillion = 1000
const block = 10_000
const keys = 200

interface Body {
  readonly eventId: string
  readonly timestamp: number
  readonly userId: string
  readonly value: number
  readonly features: Readonly<Record<string, number>>
}

/** Ordinary events whose features are complete. */
function ordinary(count: number, seed: number): Body[] {
  const { next } = random(seed)
  return Array.from({ length: count }, (_, i) => {
    const user = Math.floor(next() * keys)
    const noise = () => next() + next() + next() - 1.5
    return {
      eventId: `e${i}`,
      timestamp: 1_700_000_000_000 + 1000 * i,
      userId: `u${user}`,
      value: (50 + user) * (1 + 0.1 * noise()),
      features: { a: 10 + noise(), b: user + noise(), c: next() < 0.3 ? 0 : 5 + noise() },
    }
  })
}

const pipeline = parsePipeline({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'test' },
  spec: { source: { brokers: ['localhost:9092'] }, detection: { alertBudgetPerMillion: perMillion } },
})

/** The verdicts of the default detectors. */
async function judge(bodies: readonly Body[]): Promise<Verdict[]> {
  const verdicts: Verdict[] = []
  const local = createLocalPipeline({
    pipeline,
    seed: 1,
    fitting: 'Inline',
    observer: ({ outcomes }) => {
      verdicts.push(...(outcomes as Verdict[]))
    },
  })
  const running = local.run()
  for (const [i, body] of bodies.entries()) {
    const record: Omit<InputRecord, 'offset'> = {
      key: null,
      value: JSON.stringify(body),
      timestamp: 0,
      source: 'f',
      row: i,
      line: i,
    }
    local.stream.append(record)
    await local.stream.room()
  }
  local.stream.end()
  await running
  return verdicts
}

function alertsByBlock(verdicts: readonly Verdict[]): number[] {
  return Array.from(
    { length: Math.ceil(verdicts.length / block) },
    (_, b) => verdicts.slice(b * block, (b + 1) * block).filter(({ isAnomaly }) => isAnomaly).length,
  )
}

type Change = (body: Body, i: number) => Body
const withFeatures = (body: Body, features: Readonly<Record<string, number>>): Body => ({
  ...body,
  features: { ...body.features, ...features },
})
const isAmong = (share: number, { userId }: Body) => Number(userId.slice(1)) < share * keys
const without = (body: Body, name: string): Body => ({
  ...body,
  features: Object.fromEntries(Object.entries(body.features).filter(([of]) => of !== name)),
})

/** What may become of a stream's fields from event `at` on. */
const changes: Readonly<Record<string, (at: number) => Change>> = {
  'one event has two names that no other has': (at) => (body, i) =>
    i === at ? withFeatures(body, { x: 1, y: 2 }) : body,
  'one event has fifty names that no other has': (at) => (body, i) =>
    i === at ? withFeatures(body, Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`x${n}`, n]))) : body,
  'one event lacks all its features': (at) => (body, i) => (i === at ? { ...body, features: {} } : body),
  'a field is rolled out to a third of the keys': (at) => (body, i) =>
    i >= at && isAmong(0.33, body) ? withFeatures(body, { d: (i * 7) % 11 }) : body,
  'a field is rolled out to all keys': (at) => (body, i) => (i >= at ? withFeatures(body, { d: (i * 7) % 11 }) : body),
  'a field is rolled out key by key': (at) => (body, i) =>
    i >= at && isAmong((i - at) / 10_000, body) ? withFeatures(body, { d: (i * 7) % 11 }) : body,
  'a field is dropped for half of the keys': (at) => (body, i) =>
    i >= at && isAmong(0.5, body) ? without(body, 'b') : body,
  'a field is dropped for all keys': (at) => (body, i) => (i >= at ? without(body, 'a') : body),
}

describe('A change of fields', () => {
  for (const [name, changeAt] of Object.entries(changes))
    it(`floods nobody, and blinds nobody: ${name}`, async function () {
      this.timeout(60_000)
      for (const [seed, at] of [3, 14_321].entries()) {
        const change = changeAt(at)
        const bodies = ordinary(40_000, seed).map((body, i) => {
          const changed = change(body, i)
          return i % 3000 === 2999 ? { ...changed, value: 30 * changed.value } : changed
        })
        const verdicts = await judge(bodies)
        for (const alerts of alertsByBlock(verdicts)) expect(alerts).to.be.at.most((1.3 * perMillion * block) / 1e6)
        const late = verdicts.filter((_, i) => i % 3000 === 2999 && i > at + block)
        expect(late.filter(({ isAnomaly }) => isAnomaly).length / late.length).to.be.at.least(0.75)
      }
    })

  it('of one event changes no verdict of any other key but in the last digits', async function () {
    this.timeout(60_000)
    const bodies = ordinary(20_000, 7)
    const odd = bodies.map((body, i) => (i === 9000 ? withFeatures(body, { x: 1, y: 2 }) : body))
    const [before, after] = [await judge(bodies), await judge(odd)]
    let most = 0
    for (const [i, verdict] of after.entries()) {
      if (verdict.userId === bodies[9000]!.userId) continue
      expect(verdict.confidence).to.equal(before[i]!.confidence)
      most = Math.max(most, Math.abs(verdict.anomalyScore - before[i]!.anomalyScore))
    }
    expect(most).to.be.below(0.02)
  })
})

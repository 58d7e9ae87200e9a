import { expect } from 'chai'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Verdict } from '../../workloads/detection/verdict.ts'
import { createLocalPipeline } from '../../workloads/judging/local-pipeline.ts'
import type { Chance, Fuzz } from './fuzz.ts'

const block = 10_000
type Body = Record<string, unknown> & { readonly features: Readonly<Record<string, number>> }

function ordinary(chance: Chance, count: number, keys: number): Body[] {
  const noise = () => chance.next() + chance.next() + chance.next() - 1.5
  return Array.from({ length: count }, (_, i) => {
    const user = chance.int(keys)
    const features = { a: 10 + noise(), b: user + noise(), c: chance.happens(0.3) ? 0 : 5 + noise() }
    return {
      eventId: `e${i}`,
      timestamp: 1.7e12 + 1000 * i,
      userId: `u${user}`,
      user,
      value: 50 + user + noise(),
      features,
    }
  })
}

/** From `at` on a field comes or goes for a share of the keys, and one event is another. */
function changed(chance: Chance, bodies: readonly Body[], at: number, keys: number): Body[] {
  const share = chance.next() * keys
  const isDropped = chance.happens(0.5)
  const name = isDropped ? chance.pick('a', 'b', 'c') : 'd'
  const odd = chance.pick<object>(
    { features: { x: 1, y: 2 } },
    { features: {} },
    { value: chance.pick(0, -9999, 2147483647, 1e300) },
    { userId: 'nobody' },
  )
  return bodies.map((body, i) => {
    const { [name]: _, ...others } = body.features
    const isChanged = i >= at && (body.user as number) < share
    const features = isChanged ? (isDropped ? others : { ...others, [name]: i % 11 }) : body.features
    return { ...body, features, ...(i === at ? odd : {}) } as Body
  })
}

async function judge(
  bodies: readonly Body[],
  perMillion: number,
): Promise<{ alerts: boolean[]; json: (string | undefined)[] }> {
  const alerts: boolean[] = []
  const json: (string | undefined)[] = []
  const pipeline = parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'fuzz' },
    spec: { source: { brokers: ['localhost:9092'] }, detection: { alertBudgetPerMillion: perMillion } },
  })
  const local = createLocalPipeline({
    pipeline,
    seed: 1,
    fitting: 'Inline',
    observer: ({ outcomes, published }) => {
      for (const outcome of outcomes) alerts.push((outcome as Verdict).isAnomaly)
      json.push(...published)
    },
  })
  const running = local.run()
  for (const [i, { user: _, ...body }] of bodies.entries()) {
    local.stream.append({ key: null, value: JSON.stringify(body), timestamp: 0, source: 'f', row: i, line: i })
    await local.stream.room()
  }
  local.stream.end()
  await running
  return { alerts, json }
}

/** Whatever becomes of fields and of one event, no block of events has more alerts than it may, and no verdict knows what follows. */
export const fuzz: Fuzz = {
  name: 'streams',
  async tryOne(chance) {
    const keys = 1 + chance.int(200)
    const perMillion = chance.pick(1000, 2000, 5000)
    const bodies = ordinary(chance, 12_000, keys)
    const at = chance.int(bodies.length)
    const before = await judge(bodies.slice(0, at), perMillion)
    const { alerts, json } = await judge(changed(chance, bodies, at, keys), perMillion)
    expect(alerts.length).to.equal(bodies.length)
    expect(json.slice(0, at).join('\n') === before.json.join('\n'), `earlier verdicts than ${at}`).to.equal(true)
    for (let from = 0; from < alerts.length; from += block) {
      const count = alerts.slice(from, from + block).filter(Boolean).length
      expect(count, `alerts from ${from}, changed at ${at}`).to.be.at.most((1.3 * perMillion * block) / 1e6)
    }
  },
}

import { expect } from 'chai'
import { parsePipeline } from '../../../lib/pipeline/parse-pipeline.ts'
import { InputCheck } from '../../files/input-check.ts'
import { recordAt } from '../../files/input-record.ts'
import { checkData } from './data-check.ts'
import { takeSample } from './sample.ts'

const hour = 3_600_000
const from = Date.UTC(2024, 0, 1)

describe('checkData()', () => {
  async function findings(events: readonly object[], event: object = {}) {
    const pipeline = parsePipeline({
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata: { name: 'test' },
      spec: { source: { brokers: ['localhost:9092'] }, event },
    })
    const rows = events.map((one, i) => recordAt({ source: 'a', row: i + 1, line: i + 1 }, JSON.stringify(one)))
    const sample = await takeSample({
      pipeline,
      files: [],
      rows: (async function* () {
        yield rows
      })(),
      most: 100_000,
      check: new InputCheck(pipeline, () => {}),
    })
    return checkData(sample, pipeline.spec.event)
  }
  /** Of a hundred hours of each key. */
  const ofKeys = (keys: readonly string[], change: (event: Given, i: number) => object = (event) => event) =>
    Array.from({ length: 100 }, (_, i) => i).flatMap((i) =>
      keys.map((userId) =>
        change(
          {
            eventId: `${userId}-${i}`,
            timestamp: from + i * hour,
            userId,
            value: 10 + ((i * 7) % 13),
            features: { a: i % 5 },
          },
          i,
        ),
      ),
    )
  interface Given {
    readonly eventId: string
    readonly timestamp: number
    readonly userId: string
    readonly value: number
    readonly features: Readonly<Record<string, number>>
  }

  it('finds nothing in what is in order', async () => {
    expect(await findings(ofKeys(['u', 'v']))).to.deep.equal([])
  })

  const hurting: readonly (readonly [what: string, seen: RegExp, events: readonly object[], event?: object])[] = [
    [
      'Events that cannot be read',
      /^InvalidValue 2 of 200 rows$/,
      ofKeys(['u', 'v'], (e, i) => (i === 5 ? { ...e, value: 'x' } : e)),
    ],
    [
      'Fields that are mostly missing',
      /^a in 9\d %$/,
      ofKeys(['u', 'v'], (e, i) => (i % 11 === 0 ? e : { ...e, features: {} })),
    ],
    ['Fields that never change', /^a is always 4$/, ofKeys(['u'], (e) => ({ ...e, features: { a: 4 } }))],
    [
      'Scales that differ between keys',
      /^value is usually \S+ for "u" and 16,000 for "v"$/,
      ofKeys(['u', 'v'], (e) => (e.userId === 'v' ? { ...e, value: 1000 * e.value } : e)),
    ],
    [
      'A scale that changes within a key',
      /^value of "u" goes from about \S+ to 16,\d+$/,
      ofKeys(['u'], (e, i) => (i < 40 ? e : { ...e, value: 1000 * e.value })).flatMap((e, i, all) => [
        e,
        { ...e, eventId: `${i}`, timestamp: (all[i] as Given).timestamp + 1000 },
      ]),
    ],
    [
      'Events without a time',
      /^timestamp is absent in 10 %$/,
      ofKeys(['u', 'v'], (e, i) => (i % 10 === 0 ? { ...e, timestamp: undefined } : e)),
    ],
    [
      'Times in several units',
      /^timestamp: 100 in ms, 100 in s$/,
      ofKeys(['u', 'v'], (e) => (e.userId === 'v' ? { ...e, timestamp: e.timestamp / 1000 } : e)),
    ],
    [
      'Times long ago',
      /^timestamp is about 1970-01-20 /,
      ofKeys(['u'], (e) => ({ ...e, timestamp: Math.round(e.timestamp / 1e6) })),
    ],
    [
      'Times that go back within a key',
      /^10 % of the events/,
      ofKeys(['u'], (e, i) => (i % 10 === 9 ? { ...e, timestamp: e.timestamp - 5 * hour } : e)),
    ],
    [
      'Gaps in time',
      /^1 in 1 key, the longest 30 days after 2024-01-02 01:00:00 of "u"$/,
      ofKeys(['u'], (e, i) => (i > 25 ? { ...e, timestamp: e.timestamp + 30 * 24 * hour - hour } : e)),
    ],
    [
      'Keys with few events',
      /^100 % of 100 keys have less than 20 events, 100 % of all events$/,
      ofKeys(['u'], (e, i) => ({ ...e, userId: `u${i}` })),
    ],
    [
      'Ids that come again',
      /^1 of 100 events, such as "u-3"$/,
      ofKeys(['u'], (e, i) => (i === 50 ? { ...e, eventId: 'u-3' } : e)),
    ],
    [
      'A category with very many texts',
      /^session has 100 in 100 events$/,
      ofKeys(['u'], (e, i) => ({ ...e, session: `s${i}` })),
      { categories: ['session'] },
    ],
  ]
  for (const [what, seen, events, event] of hurting)
    it(`finds ${what.toLowerCase()}, and nothing else`, async () => {
      const found = await findings(events, event)
      expect(found.map(({ what }) => what)).to.deep.equal([what])
      expect(found[0]!.seen).to.match(seen)
    })
})

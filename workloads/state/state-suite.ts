import { expect } from 'chai'
import type { Feedback } from '../detection/feedback.ts'
import { keptModelBytes, type ModelRecord } from '../detection/model-record.ts'
import { mostSaid } from './said.ts'
import type { ClaimedEvent, StateStore } from './state.ts'

export const suiteSettings = { profileTtlSeconds: 60, featureTtlSeconds: 2, maxFeatures: 20 } as const

/** What every state store does. `open` gives stores that share what they keep, empty before each test; all are closed by the caller. */
export function behavesAsStateStore(open: () => Promise<StateStore>, pass: (ms: number) => Promise<void>): void {
  let store: StateStore
  beforeEach(async () => {
    store = await open()
  })

  const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)
  const plain = (found: readonly (Uint8Array | undefined)[]) => found.map((one) => one && [...one])

  describe('partitions', () => {
    it('give back what was flushed, byte for byte', async () => {
      const everyByte = Uint8Array.from({ length: 256 }, (_, i) => i)
      const { epoch } = await store.partitions.take(3)
      await store.partitions.flush(3, epoch, {
        keys: new Map([
          ['u1', everyByte],
          ['u2', bytes()],
        ]),
        partition: everyByte,
      })
      const found = await store.partitions.loadKeys(3, ['u2', 'nobody', 'u1'])
      expect(plain(found)).to.deep.equal([[], undefined, [...everyByte]])
      expect(plain([await store.partitions.loadPartition(3)])).to.deep.equal([[...everyByte]])
    })

    it('keep keys apart whatever is written in them', async () => {
      const keys = ['', ' ', 'a:b', 'a', '日本', '🦆', 'ä', 'a\u0308', '\u0000', 'a\r\nb', '*', '{x}', 'x'.repeat(5000)]
      const { epoch } = await store.partitions.take(0)
      await store.partitions.flush(0, epoch, { keys: new Map(keys.map((key, i) => [key, bytes(i)])) })
      expect(plain(await store.partitions.loadKeys(0, keys))).to.deep.equal(keys.map((_, i) => [i]))
    })

    it('keep partitions apart', async () => {
      for (const partition of [1, 11]) {
        const { epoch } = await store.partitions.take(partition)
        await store.partitions.flush(partition, epoch, {
          keys: new Map([['u', bytes(partition)]]),
          partition: bytes(partition),
        })
      }
      expect(plain(await store.partitions.loadKeys(1, ['u']))).to.deep.equal([[1]])
      expect(plain(await store.partitions.loadKeys(11, ['u']))).to.deep.equal([[11]])
      expect(plain([await store.partitions.loadPartition(1)])).to.deep.equal([[1]])
      expect(await store.partitions.loadKeys(111, ['u'])).to.deep.equal([undefined])
      const wanted: [number, string[]][] = [
        [11, ['u']],
        [5, []],
        [1, ['v', 'u']],
      ]
      const found = await store.partitions.loadKeysOf(wanted)
      expect(found.map(plain)).to.deep.equal([[[11]], [], [undefined, [1]]])
    })

    it('have one partial of a value each, and say which values have a risky one', async () => {
      const names = ['terminal:t 1', 'terminal:t:2', 'city:']
      const partial = (value: number, isRisky = false) => ({ payload: bytes(value), isRisky })
      const flush = async (partition: number, partials: Iterable<[string, ReturnType<typeof partial>]>) => {
        const { epoch } = await store.partitions.take(partition)
        await store.partitions.flush(partition, epoch, { keys: new Map(), partials: new Map(partials) })
        return epoch
      }
      const { at } = await store.partitions.riskySince(0)
      await flush(3, [
        [names[0]!, partial(1, true)],
        [names[1]!, partial(2)],
      ])
      const epoch = await flush(11, [
        [names[1]!, partial(3)],
        [names[0]!, partial(4)],
      ])
      await store.partitions.flush(11, epoch, { keys: new Map(), partials: new Map([[names[0]!, partial(5)]]) })
      const found = await store.partitions.loadPartials([names[1]!, 'nobody', names[0]!])
      const known = found.map((partials) => Object.fromEntries(Array.from(partials, ([of, one]) => [of, [...one]])))
      expect(known).to.deep.equal([{ 3: [2], 11: [3] }, {}, { 3: [1], 11: [5] }])
      expect(await store.partitions.loadPartials([])).to.deep.equal([])
      expect((await store.partitions.riskySince(at)).names).to.deep.equal([names[0]])
      expect((await store.partitions.riskySince(at + 600_000)).names).to.deep.equal([])
      const changes = { keys: new Map(), partials: new Map([[names[0]!, partial(9)]]) }
      expect(await store.partitions.flush(11, epoch - 1, changes)).to.equal('Fenced')
      expect([...(await store.partitions.loadPartials([names[0]!]))[0]!.get(11)!]).to.deep.equal([5])
    })

    it('leave what a flush does not name', async () => {
      const { epoch } = await store.partitions.take(0)
      await store.partitions.flush(0, epoch, {
        keys: new Map([
          ['a', bytes(1)],
          ['b', bytes(1)],
        ]),
        partition: bytes(1),
      })
      await store.partitions.flush(0, epoch, { keys: new Map([['b', bytes(2)]]) })
      expect(plain(await store.partitions.loadKeys(0, ['a', 'b']))).to.deep.equal([[1], [2]])
      expect(plain([await store.partitions.loadPartition(0)])).to.deep.equal([[1]])
    })

    it('say that nothing was there before the first flush', async () => {
      const taken = await store.partitions.take(0)
      expect(taken.formerEpoch).to.equal(undefined)
      expect(taken.state).to.equal(undefined)
      const changes = { keys: new Map([['u', bytes(1)]]), partition: bytes(7) }
      expect(await store.partitions.flush(0, taken.epoch, changes)).to.equal('Refill')
      expect(await store.partitions.flush(0, taken.epoch, changes)).to.equal('Written')
    })

    it('give a new owner a greater epoch and the state', async () => {
      const first = await store.partitions.take(0)
      await store.partitions.flush(0, first.epoch, { keys: new Map(), partition: bytes(7) })
      const second = await store.partitions.take(0)
      expect(second.epoch).to.be.greaterThan(first.epoch)
      expect(second.formerEpoch).to.equal(first.epoch)
      expect([...second.state!]).to.deep.equal([7])
    })

    it('give an epoch greater than one from a clock that was ahead', async () => {
      const ahead = (await store.partitions.take(0)).epoch + 3_600_000
      await store.partitions.flush(0, ahead, { keys: new Map() })
      expect((await store.partitions.take(0)).epoch).to.equal(ahead + 1)
    })

    it('refuse a former owner once the new one has flushed, and nothing of its flush takes effect', async () => {
      const zombie = await store.partitions.take(0)
      await store.partitions.flush(0, zombie.epoch, { keys: new Map([['u', bytes(1)]]) })
      const owner = await open()
      const { epoch } = await owner.partitions.take(0)
      const changes = {
        keys: new Map([['u', bytes(66)]]),
        partition: bytes(66),
        features: new Map([['u', '{"x":66}']]),
      }
      expect(await store.partitions.flush(0, zombie.epoch, changes)).to.equal('Written')
      expect(await owner.partitions.flush(0, epoch, { keys: new Map([['u', bytes(2)]]) })).to.equal('Written')
      const late = { ...changes, keys: new Map([['u', bytes(67)]]), features: new Map([['u', '{"x":67}']]) }
      expect(await store.partitions.flush(0, zombie.epoch, late)).to.equal('Fenced')
      expect(plain(await store.partitions.loadKeys(0, ['u']))).to.deep.equal([[2]])
      expect(await store.features.last(['u'])).to.deep.equal(['{"x":66}'])
      expect((await store.partitions.take(0)).formerEpoch).to.equal(epoch)
    })

    it('take thousands of keys and payloads of megabytes in one flush', async () => {
      const { epoch } = await store.partitions.take(0)
      const keys = new Map(Array.from({ length: 2500 }, (_, i) => [`user-${i}`, new Uint8Array(1000).fill(i)]))
      keys.set('large', new Uint8Array(3_000_000).fill(9))
      expect(await store.partitions.flush(0, epoch, { keys, partition: bytes(1) })).to.equal('Refill')
      const found = await store.partitions.loadKeys(0, [...keys.keys()])
      expect(found.every((payload, i) => i === 2500 || (payload?.length === 1000 && payload[7] === i % 256))).to.equal(
        true,
      )
      expect(found[2500]!.length).to.equal(3_000_000)
      expect(plain([await store.partitions.loadPartition(0)])).to.deep.equal([[1]])
    })
  })

  describe('features', () => {
    it('keep names in the order in which they came', async () => {
      expect(await store.features.names()).to.deep.equal([])
      expect(await store.features.extend(['b', 'a'])).to.deep.equal(['b', 'a'])
      expect(await store.features.extend(['c', 'a', 'ü'])).to.deep.equal(['b', 'a', 'c', 'ü'])
      expect(await store.features.names()).to.deep.equal(['b', 'a', 'c', 'ü'])
    })

    it('refuse names beyond the cap and keep the rest', async () => {
      const { maxFeatures } = suiteSettings
      const names = Array.from({ length: maxFeatures + 5 }, (_, i) => `f${i}`)
      expect(await store.features.extend(names)).to.deep.equal(names.slice(0, maxFeatures))
      expect(await store.features.extend(['f0', 'more'])).to.deep.equal(names.slice(0, maxFeatures))
    })

    it('take as many new names in an hour as may come, and all of them where there is none yet', async () => {
      // Of what a full list may have, more than an hour's is left only where names are forgotten.
      const { maxFeatures } = suiteSettings
      const names = Array.from({ length: maxFeatures }, (_, i) => `f${i}`)
      expect(await store.features.extend(names)).to.deep.equal(names)
      let known: readonly string[] = names
      let came = 0
      for (let round = 0; came === round * (maxFeatures / 2) && round < 3; round++) {
        const gone = known.filter((name) => name !== '').slice(0, maxFeatures / 2)
        expect(await store.features.forget(gone)).to.deep.equal(gone)
        const fresh = Array.from({ length: maxFeatures / 2 }, (_, i) => `r${round}-${i}`)
        known = await store.features.extend(fresh)
        came += known.filter((name) => fresh.includes(name)).length
      }
      expect(known.length, 'the list grows to twice its names at most').to.be.at.most(2 * maxFeatures)
    })

    it('forget names: their places stay, and who had them does not bring them back', async () => {
      const known = await store.features.extend(['a', 'b', 'c'])
      expect(await store.features.forget(['b', 'x'])).to.deep.equal(['b'])
      expect(await store.features.names()).to.deep.equal(['a', '', 'c'])
      expect(await store.features.extend([...known, 'd'])).to.deep.equal(['a', '', 'c', 'd'])
      expect(await store.features.extend(['a', '', 'c', 'd', 'b'])).to.deep.equal(['a', '', 'c', 'd', 'b'])
    })

    it('forget names that no event carries any more while others are carried', async () => {
      await store.features.extend(['a', 'b', 'c'])
      expect(await store.features.use(['a'], 200)).to.deep.equal(['a', 'b', 'c'])
      await pass(150)
      expect(await store.features.use(['b'], 200)).to.deep.equal(['a', 'b', 'c'])
      await pass(150)
      expect(await store.features.use(['a'], 200)).to.deep.equal(['a', 'b', ''])
      expect(await store.features.extend(['a', '', '', 'c'])).to.deep.equal(['a', 'b', '', 'c'])
      expect(await store.features.use([], 200)).to.deep.equal(['a', 'b', '', 'c'])
    })

    it('come to one list when several extend it at once', async () => {
      const stores = [store, await open(), await open()]
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, i) => stores[i % 3]!.features.extend([`f${i % 5}`, `f${(i * 7) % 15}`])),
      )
      const names = await store.features.names()
      expect(new Set(names).size).to.equal(names.length)
      for (const answer of answers) expect(names.slice(0, answer.length)).to.deep.equal(answer)
    })

    it('give the last features of keys until their time is over', async () => {
      const { epoch } = await store.partitions.take(0)
      const flush = (json: string) =>
        store.partitions.flush(0, epoch, { keys: new Map(), features: new Map([['u:🦆', json]]) })
      await flush('{"x":1}')
      await flush('{"x":2}')
      expect(await store.features.last(['v', 'u:🦆'])).to.deep.equal([undefined, '{"x":2}'])
      await pass(suiteSettings.featureTtlSeconds * 1000 + 100)
      expect(await store.features.last(['u:🦆'])).to.deep.equal([undefined])
    })
  })

  describe('said', () => {
    const reason = { detector: 'profile', feature: 'value', observed: 9, expected: 1, contribution: 1 } as const
    const said = (eventId: string, time: number, more: object = {}) => {
      return { eventId, key: 'u', label: 'Confirmed', time, anomalyScore: 0.5, reasons: [reason], ...more } as Feedback
    }
    const idsOf = async (...asked: Parameters<StateStore['said']['list']>) =>
      (await store.said.list(...asked)).items.map(({ eventId }) => eventId)

    it('lists what was said of events last, newest first, as it was learnt', async () => {
      const other = await open()
      await store.said.put([said('a', 1000, { by: 'ann' }), said('b', 2000, { key: 'v' }), said('c', 1500)])
      await store.said.put([said('c', 3000, { label: 'FalseAlarm', reasons: [] })])
      const found = await other.said.list({}, { limit: 10 })
      expect(found.next).to.equal(undefined)
      const common = { userId: 'u', anomalyScore: 0.5, withdrawnAt: null, by: null, reasons: [reason] }
      expect(found.items).to.deep.equal([
        { ...common, eventId: 'c', label: 'FalseAlarm', time: 3000, reasons: [] },
        { ...common, eventId: 'b', userId: 'v', label: 'Confirmed', time: 2000 },
        { ...common, eventId: 'a', label: 'Confirmed', time: 1000, by: 'ann' },
      ])
      expect(await idsOf({ userId: 'u' }, { limit: 10 })).to.deep.equal(['c', 'a'])
      expect(await idsOf({ label: 'Confirmed' }, { limit: 10 })).to.deep.equal(['b', 'a'])
    })

    it('tells what was taken back, and what was said once more', async () => {
      await store.said.put([said('a', 1000), said('b', 1000), said('nobody', 1, { label: 'Withdrawn' })])
      await store.said.put([said('a', 2000, { label: 'Withdrawn' }), said('b', 2000, { label: 'Withdrawn' })])
      // The same records, read once more.
      await store.said.put([said('a', 1000), said('b', 1000), said('b', 2500)])
      const { items } = await store.said.list({}, { limit: 10 })
      expect(items.map(({ eventId, time, withdrawnAt }) => [eventId, time, withdrawnAt])).to.deep.equal([
        ['b', 2500, null],
        ['a', 1000, 2000],
      ])
      expect(await idsOf({ label: 'Withdrawn' }, { limit: 10 })).to.deep.equal(['a'])
      expect(await idsOf({ label: 'Confirmed' }, { limit: 10 })).to.deep.equal(['b'])
    })

    it('gives pages that neither leave out nor repeat, of one moment too', async () => {
      const ids = Array.from({ length: 7 }, (_, i) => `e:${i}`)
      await store.said.put(ids.map((id, i) => said(id, i < 5 ? 1000 : 2000)))
      const seen: string[] = []
      let cursor: string | undefined
      do {
        const { items, next } = await store.said.list({}, { limit: 2, cursor })
        seen.push(...items.map(({ eventId }) => eventId))
        cursor = next
      } while (cursor !== undefined)
      expect(seen).to.deep.equal(['e:6', 'e:5', 'e:4', 'e:3', 'e:2', 'e:1', 'e:0'])
    })

    it('forgets the oldest', async () => {
      await store.said.put(Array.from({ length: mostSaid + 3 }, (_, i) => said(`e${i}`, i)))
      let [count, last, cursor] = [0, '', undefined as string | undefined]
      do {
        const { items, next } = await store.said.list({}, { limit: 1000, cursor })
        count += items.length
        last = items.at(-1)!.eventId
        cursor = next
      } while (cursor !== undefined)
      expect([count, last]).to.deep.equal([mostSaid, 'e3'])
    })
  })

  describe('results', () => {
    const place = { partition: 3, offset: 700 }
    const claimed = (...ids: string[]): ClaimedEvent[] =>
      ids.map((eventId) => ({ eventId, fingerprint: `of ${eventId}`, place }))
    const verdict = (eventId: string, json = '{}') => ({ eventId, json, fingerprint: `of ${eventId}` })

    it('give an event to the first who claims it, and its verdict to all who come after', async () => {
      const other = await open()
      expect(await store.results.claim(claimed('e1', 'e2'), 60)).to.deep.equal([
        { type: 'Claimed' },
        { type: 'Claimed' },
      ])
      expect(await other.results.claim(claimed('e2', 'e3'), 60)).to.deep.equal([
        { type: 'Pending', fingerprint: 'of e2' },
        { type: 'Claimed' },
      ])
      expect(await other.results.get('e2')).to.equal(undefined)
      await store.results.put([verdict('e2', '{"first":"\\n1"}')], 60)
      expect(await other.results.claim(claimed('e2'), 60)).to.deep.equal([
        { type: 'Verdict', json: '{"first":"\\n1"}', fingerprint: 'of e2' },
      ])
      expect(await other.results.get('e2')).to.equal('{"first":"\\n1"}')
    })

    it('tell with which body an id came, as far as that is known', async () => {
      await store.results.claim(claimed('claimed'), 60)
      await store.results.put([{ eventId: 'judged', json: '{}' }], 60)
      const others = claimed('claimed', 'judged').map((one) => ({ ...one, fingerprint: 'another' }))
      expect(await store.results.claim(others, 60)).to.deep.equal([
        { type: 'Pending', fingerprint: 'of claimed' },
        { type: 'Verdict', json: '{}', fingerprint: undefined },
      ])
    })

    it('tell an id that comes twice in one call', async () => {
      const [first, second] = await store.results.claim(claimed('e', 'e'), 60)
      expect([first!.type, second!.type]).to.deep.equal(['Claimed', 'Pending'])
    })

    it('keep the first verdict', async () => {
      await store.results.put([verdict('e', '{"first":1}')], 60)
      await store.results.put([verdict('e', '{"second":1}')], 60)
      expect(await store.results.get('e')).to.equal('{"first":1}')
    })

    it('can be claimed again when released or when the claim has lapsed, never when there is a verdict', async () => {
      await store.results.claim(claimed('released', 'lapsed', 'kept'), 1)
      await store.results.put([verdict('kept')], 60)
      await store.results.release(['released', 'kept', 'unknown'])
      expect(await store.results.claim(claimed('released'), 60)).to.deep.equal([{ type: 'Claimed' }])
      await pass(1100)
      expect(await store.results.claim(claimed('lapsed', 'kept'), 60)).to.deep.equal([
        { type: 'Claimed' },
        { type: 'Verdict', json: '{}', fingerprint: 'of kept' },
      ])
    })

    it('are forgotten when their time is over', async () => {
      await store.results.put([verdict('e')], 1)
      await pass(1100)
      expect(await store.results.get('e')).to.equal(undefined)
    })

    it('take thousands at once', async () => {
      const ids = Array.from({ length: 2300 }, (_, i) => `e${i}`)
      const claims = await store.results.claim(claimed(...ids), 60)
      expect(claims.length).to.equal(2300)
      await store.results.put(
        ids.map((id) => verdict(id, JSON.stringify({ id }))),
        60,
      )
      expect((await store.results.claim(claimed(...ids), 60)).at(-1)).to.include({
        type: 'Verdict',
        json: '{"id":"e2299"}',
      })
    })
  })

  describe('models', () => {
    it('become current by compare-and-set, with at least as many rows as the former', async () => {
      expect(await store.models.current()).to.equal(undefined)
      await store.models.put('v1', bytes(1))
      await store.models.put('v2', bytes(2))
      expect(await store.models.swap('v0', { version: 'v1', rowsSeen: 100 })).to.equal('Conflict')
      expect(await store.models.swap(undefined, { version: 'v1', rowsSeen: 100 })).to.equal('Swapped')
      expect(await store.models.current()).to.deep.equal({ version: 'v1', rowsSeen: 100 })
      expect(await store.models.swap(undefined, { version: 'v2', rowsSeen: 200 })).to.equal('Conflict')
      expect(await store.models.swap('v1', { version: 'v2', rowsSeen: 99 })).to.equal('FewerRows')
      expect(await store.models.swap('v1', { version: 'v3', rowsSeen: 200 })).to.equal('Missing')
      expect(await store.models.current()).to.deep.equal({ version: 'v1', rowsSeen: 100 })
      const next = { version: 'v2', rowsSeen: 200, fittedAt: 1_750_000_000_123 }
      expect(await store.models.swap('v1', next)).to.equal('Swapped')
      expect(await store.models.current()).to.deep.equal(next)
      expect([...(await store.models.get('v2'))!]).to.deep.equal([2])
      expect([...(await store.models.get('v1'))!], 'for those who are loading it').to.deep.equal([1])
      expect(await store.models.get('v9')).to.equal(undefined)
    })

    it('keep the records of the last ones, newest first, and of those in use', async () => {
      const record = (version: string, bytesOf = 100): ModelRecord => ({
        ...{ version, rowsSeen: 10, columns: ['value'], bytes: bytesOf, checksum: 'c', outcome: 'TookOver' },
      })
      const versionsOf = async () => (await store.models.records()).map(({ version }) => version)
      expect(await versionsOf()).to.deep.equal([])
      for (const i of [1, 2, 3, 4, 5, 6, 7]) {
        await store.models.put(`v${i}`, bytes(i))
        await store.models.putRecord(record(`v${i}`), new Set(['v1']))
      }
      expect(await versionsOf()).to.deep.equal(['v7', 'v6', 'v5', 'v4', 'v3', 'v1'])
      expect((await store.models.records())[0]).to.deep.equal(record('v7'))
      expect(await store.models.get('v2'), 'goes with its record').to.equal(undefined)
      expect([...(await store.models.get('v1'))!]).to.deep.equal([1])
      await store.models.put('large', bytes(8))
      await store.models.putRecord(record('large', keptModelBytes), new Set())
      expect(await versionsOf()).to.deep.equal(['large'])
      await store.models.putRecord(record('never stored'), new Set(['large']))
      expect(await versionsOf()).to.deep.equal(['large'])
    })

    it('let exactly one of many swaps through', async () => {
      const stores = [store, await open(), await open()]
      await Promise.all(stores.map((one, i) => one.models.put(`v${i}`, bytes(i))))
      const outcomes = await Promise.all(
        Array.from({ length: 9 }, (_, i) =>
          stores[i % 3]!.models.swap(undefined, { version: `v${i % 3}`, rowsSeen: 1 }),
        ),
      )
      expect(outcomes.filter((outcome) => outcome === 'Swapped').length).to.equal(1)
      expect(outcomes.filter((outcome) => outcome === 'Conflict').length).to.equal(8)
    })

    it('keep the last reservoir of each replica', async () => {
      expect([...(await store.models.reservoirs())]).to.deep.equal([])
      await store.models.putReservoir('pod-b', bytes(1))
      await (await open()).models.putReservoir('pod-a', bytes(2))
      await store.models.putReservoir('pod-b', bytes(3))
      const reservoirs = await store.models.reservoirs()
      expect([...reservoirs].map(([replica, stored]) => [replica, [...stored]])).to.deep.equal([
        ['pod-a', [2]],
        ['pod-b', [3]],
      ])
    })

    it('let one fit at a time, and not for longer than said', async () => {
      const other = await open()
      const first = await store.models.lock(1)
      expect(first).not.to.equal(undefined)
      expect(await other.models.lock(1)).to.equal(undefined)
      await pass(1100)
      const second = await other.models.lock(60)
      expect(second).not.to.equal(undefined)
      await first!.release()
      expect(await store.models.lock(60), 'a lapsed lock releases nothing').to.equal(undefined)
      await second!.release()
      expect(await store.models.lock(60)).not.to.equal(undefined)
    })
  })
}

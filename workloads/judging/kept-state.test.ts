import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Event } from '../detection/event.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import { anomaliesOf, eventsOf } from '../detection/secondary-risks.ts'
import { createMemoryState } from '../state/memory.ts'
import type { StateStore } from '../state/state.ts'
import { KeptState } from './kept-state.ts'

const log: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const pipeline = parsePipeline({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'test' },
  spec: { source: { brokers: ['localhost:9092'] }, detection: { detectors: [{ name: 'profile', profile: {} }] } },
})
const schema = new FeatureSchema()

/** A store that can be away, or come back empty. */
function store() {
  const empty = () =>
    createMemoryState({ profileTtlSeconds: 60, featureTtlSeconds: 60, maxFeatures: 10, now: () => clock })
  let inner = empty()
  let isAway = false
  const whenThere =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (isAway) throw new AppError('Unavailable', 'away')
      return call(...args)
    }
  const shared: StateStore = {
    ...inner,
    problem: () => (isAway ? 'away' : undefined),
    partitions: {
      take: whenThere((partition) => inner.partitions.take(partition)),
      loadPartition: whenThere((partition) => inner.partitions.loadPartition(partition)),
      loadKeys: whenThere((partition, keys) => inner.partitions.loadKeys(partition, keys)),
      loadKeysOf: whenThere((wanted) => inner.partitions.loadKeysOf(wanted)),
      loadPartials: whenThere((names) => inner.partitions.loadPartials(names)),
      riskySince: whenThere((time) => inner.partitions.riskySince(time)),
      flush: whenThere((partition, epoch, changes) => inner.partitions.flush(partition, epoch, changes)),
    },
  }
  return {
    shared,
    leave: () => {
      isAway = true
    },
    comeBack: () => {
      isAway = false
      clock += 10_000
    },
    lose: () => {
      inner = empty()
    },
  }
}

/** Milliseconds. */
let clock = 1_000_000

/** A process with one partition. */
function owner(of: StateStore, { stateBytes }: { readonly stateBytes?: number } = {}) {
  let emptied = 0
  const kept = new KeptState({
    pipeline,
    stateBytes,
    store: of,
    schema,
    log,
    wall: () => clock,
    onFenced: () => {},
    onEmptied: () => {
      emptied++
    },
  })
  return {
    kept,
    assigned: () => kept.assigned(0),
    /** Learns from one event of each key; false where their state could not be read. */
    async learn(...keys: readonly string[]): Promise<boolean> {
      const events = keys.map((key): Event => ({ id: key, key, time: 1, value: 1, features: [] }))
      const hasState = await kept.begin(0, events)
      const memory = kept.of(0)!
      memory.decide(memory.observe(events), undefined)
      kept.committed(0, new Map())
      return hasState
    },
    release: () => kept.releasing([0]),
    /** Events that the key has learnt from, in memory. */
    events: (key: string): number | undefined => eventsIn(kept.of(0)!.saveKey(key)),
    emptied: () => emptied,
  }
}

/** The first number of the first part, after the id of the layout and the part's length. */
const eventsIn = (payload: Uint8Array | undefined): number | undefined =>
  payload === undefined ? undefined : Buffer.from(payload).readFloatLE(8)

describe('KeptState', () => {
  const stored = async (of: StateStore, key: string) => eventsIn((await of.partitions.loadKeys(0, [key]))[0])

  it('gives the next owner what the former has learnt', async () => {
    const { shared } = store()
    const [first, second] = [owner(shared), owner(shared)]
    await first.assigned()
    await first.learn('a')
    await first.learn('a', 'b')
    await first.release()
    await second.assigned()
    expect(await second.learn('a')).to.equal(true)
    expect(second.events('a')).to.equal(3)
  })

  it('keeps its memory when it takes the partition again and again without having written between', async () => {
    const { shared } = store()
    const one = owner(shared)
    await one.assigned()
    await one.learn('a')
    await one.release()
    await one.assigned()
    await one.learn('a', 'b')
    await one.assigned()
    await one.assigned()
    await one.release()
    expect([await stored(shared, 'a'), await stored(shared, 'b')]).to.deep.equal([2, 1])
  })

  it('reads the partition anew when another has written since', async () => {
    const { shared } = store()
    const [one, other] = [owner(shared), owner(shared)]
    await one.assigned()
    await one.learn('a')
    await one.release()
    await other.assigned()
    await other.learn('a')
    await other.release()
    await one.assigned()
    await one.learn('a')
    await one.release()
    expect(await stored(shared, 'a')).to.equal(3)
  })

  it('keeps what it learns while the store is away, and writes all of it to one that comes back empty', async () => {
    const { shared, leave, lose, comeBack } = store()
    const one = owner(shared)
    await one.assigned()
    await one.learn('a')
    await one.release()
    leave()
    await one.assigned()
    expect(await one.learn('a', 'new')).to.equal(false)
    lose()
    comeBack()
    await one.learn('b')
    await one.release()
    expect(await Promise.all(['a', 'new', 'b'].map((key) => stored(shared, key)))).to.deep.equal([2, 1, 1])
    expect(one.emptied()).to.be.greaterThan(0)
  })

  it('does not write over a profile that it could not read', async () => {
    const { shared, leave, comeBack } = store()
    const [first, one] = [owner(shared), owner(shared)]
    await first.assigned()
    for (let i = 0; i < 5; i++) await first.learn('a')
    await first.release()
    await one.assigned()
    leave()
    expect(await one.learn('a')).to.equal(false)
    comeBack()
    await one.learn('b')
    await one.learn('a')
    await one.release()
    expect(await stored(shared, 'a')).to.equal(6)
  })

  it('does not write over a profile that it could not read when memory is short either', async () => {
    const { shared, leave, comeBack } = store()
    const [first, one] = [owner(shared), owner(shared, { stateBytes: 1 })]
    await first.assigned()
    for (let i = 0; i < 5; i++) await first.learn('a')
    await first.release()
    await one.assigned()
    leave()
    await one.learn('a')
    for (let i = 0; i < 4096; i += 512) await one.learn(...Array.from({ length: 512 }, (_, k) => `other-${i + k}`))
    expect(one.events('a')).to.equal(undefined)
    comeBack()
    await one.learn('b')
    await one.release()
    expect(await stored(shared, 'a')).to.equal(5)
  })

  it('does not forget a key for want of memory within the batch that it is needed in', async () => {
    const { shared } = store()
    const one = owner(shared, { stateBytes: 1 })
    await one.assigned()
    await one.learn('a')
    for (let i = 0; i < 4095; i += 819) await one.learn(...Array.from({ length: 819 }, (_, k) => `other-${i + k}`))
    await one.learn(...Array.from({ length: 500 }, (_, k) => `new-${k}`), 'a')
    expect(one.events('a')).to.equal(2)
  })

  it('starts without the store, and reads what it has when it is back', async () => {
    const { shared, leave, comeBack } = store()
    const [first, one] = [owner(shared), owner(shared)]
    await first.assigned()
    await first.learn('a')
    await first.release()
    leave()
    await one.assigned()
    expect(await one.learn('a')).to.equal(false)
    comeBack()
    expect(await one.learn('a')).to.equal(true)
    expect(one.events('a')).to.equal(2)
  })

  it('undoes a batch of keys whose profiles were just read again', async () => {
    const { shared, leave, comeBack } = store()
    const [first, one] = [owner(shared), owner(shared)]
    await first.assigned()
    await first.learn('a')
    await first.release()
    await one.assigned()
    leave()
    await one.learn('a')
    comeBack()
    const events: Event[] = [{ id: 'x', key: 'a', time: 1, value: 1, features: [] }]
    for (let batch = 0; batch < 2; batch++) {
      await one.kept.begin(0, events)
      const memory = one.kept.of(0)!
      memory.decide(memory.observe(events), undefined)
    }
    one.kept.dropped(0)
    expect(one.events('a')).to.equal(1)
  })
})

describe('KeptState with secondary keys', () => {
  const withRisks = parsePipeline({
    ...{ apiVersion: 'anomaly.com/v1alpha1', kind: 'AnomalyPipeline', metadata: { name: 'test' } },
    spec: {
      source: { brokers: ['localhost:9092'] },
      event: { secondaryKeys: ['terminal'] },
      detection: { detectors: [{ name: 'profile', profile: {} }], feedback: {} },
    },
  })
  const paid = (key: string, terminal = 't'): Event => ({
    ...{ id: key, key, time: 1, value: 1, features: [] },
    secondaryKeys: [terminal],
  })
  const confirmed = (key: string) => ({
    ...{ eventId: key, key, time: 1, anomalyScore: 0.9, reasons: [], label: 'Confirmed' as const },
    secondaryKeys: ['t'],
  })

  /** A process with some partitions. */
  function process(of: StateStore) {
    const kept = new KeptState({
      ...{ pipeline: withRisks, store: of, schema, log, wall: () => clock, clock: () => clock },
      onFenced: () => {},
    })
    async function observe(partition: number, events: readonly Event[]): Promise<boolean> {
      const hasState = await kept.begin(partition, events)
      const memory = kept.of(partition)!
      memory.decide(memory.observe(events), undefined)
      return hasState
    }
    return {
      assigned: (partition: number) => kept.assigned(partition),
      async learn(partition: number, ...events: readonly Event[]): Promise<boolean> {
        const hasState = await observe(partition, events)
        kept.committed(partition, new Map())
        return hasState
      },
      async confirm(partition: number, key: string): Promise<void> {
        await kept.begin(partition, [confirmed(key)])
        kept.of(partition)!.learn(confirmed(key))
        kept.committed(partition, new Map())
      },
      /** Its transaction fails, and the batch comes again. */
      async repeat(partition: number, ...events: readonly Event[]): Promise<void> {
        for (let times = 0; times < 3; times++) {
          await observe(partition, events)
          kept.dropped(partition)
        }
      },
      release: (partition: number) => kept.releasing([partition]),
      /** Events and confirmed anomalies of the terminal, as an event of this partition would be judged by. */
      async counts(partition: number): Promise<readonly number[]> {
        clock += 1000
        await kept.begin(partition, [paid('nobody')])
        kept.dropped(partition)
        const known = kept.of(partition)!.risks!.of(0, 't')
        return [eventsOf(known, 1), anomaliesOf(known, 1)]
      },
    }
  }

  it('adds up what its partitions and those of others have counted, each batch once', async () => {
    const { shared } = store()
    const [one, other] = [process(shared), process(shared)]
    await Promise.all([one.assigned(0), one.assigned(1), other.assigned(2)])
    await one.learn(0, paid('a'), paid('b'))
    await one.repeat(1, paid('c'))
    await one.learn(1, paid('c'), paid('d', 'elsewhere'))
    await other.repeat(2, paid('e'), paid('f'))
    await other.learn(2, paid('e'))
    await other.confirm(2, 'e')
    for (const partition of [0, 1]) await one.release(partition)
    await other.release(2)
    for (const partition of [0, 1]) expect(await one.counts(partition), String(partition)).to.deep.equal([4, 1])
    expect(await other.counts(2)).to.deep.equal([4, 1])
  })

  it('hands a partition over with what it has counted', async () => {
    const { shared } = store()
    const [one, other] = [process(shared), process(shared)]
    await one.assigned(0)
    await one.learn(0, paid('a'), paid('b'))
    await one.confirm(0, 'a')
    await one.release(0)
    await other.assigned(0)
    await other.learn(0, paid('c'))
    await other.release(0)
    await one.assigned(0)
    expect(await one.counts(0)).to.deep.equal([3, 1])
  })

  it('joins what it counted while the store was away with what is stored', async () => {
    const { shared, leave, comeBack } = store()
    const [first, one] = [process(shared), process(shared)]
    await first.assigned(0)
    await first.learn(0, paid('a'), paid('b'))
    await first.release(0)
    await one.assigned(0)
    leave()
    expect(await one.learn(0, paid('c')), 'it says that something is missing').to.equal(false)
    comeBack()
    await one.learn(0, paid('d', 'elsewhere'))
    await one.release(0)
    const other = process(shared)
    await other.assigned(1)
    expect((await other.counts(1))[0]).to.equal(3)
  })

  it('writes all of it again to a store that comes back empty', async () => {
    const { shared, leave, lose, comeBack } = store()
    const one = process(shared)
    await one.assigned(0)
    await one.learn(0, paid('a'))
    await one.confirm(0, 'a')
    await one.release(0)
    leave()
    lose()
    comeBack()
    await one.learn(0, paid('b', 'elsewhere'))
    await one.release(0)
    const other = process(shared)
    await other.assigned(1)
    expect(await other.counts(1)).to.deep.equal([1, 1])
  })
})

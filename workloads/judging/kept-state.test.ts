import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Event } from '../detection/event.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
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

import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { fitModel } from '../detection/model.ts'
import { random } from '../detection/random.ts'
import { nextRefit } from '../detection/refit-schedule.ts'
import { createMemoryState } from '../state/memory.ts'
import type { ModelStore } from '../state/state.ts'
import { createModelLife } from './model-life.ts'
import { ModelSet } from './model-set.ts'
import { Replica } from './replica.ts'
import { decodeReservoir, encodeReservoir } from './stored-reservoir.ts'

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const forest = { name: 'forest', type: 'isolationForest', trees: 10, sampleSize: 32, refitEvents: 1000 } as const
const columns = ['value', 'amount']
const firstFit = nextRefit(0, forest.refitEvents)
const hour = 3_600_000

const names = ['amount', 'extra', 'distance']
const features = { names: async () => names }
let now: number
const memoryModels = (): ModelStore =>
  createMemoryState({ profileTtlSeconds: 60, featureTtlSeconds: 60, maxFeatures: 10, now: () => now }).models

/** A store that can go away. */
function flaky(store: ModelStore, failing: () => boolean): ModelStore {
  return new Proxy(store, {
    get: (target, method: keyof ModelStore) =>
      failing()
        ? () => Promise.reject(new AppError('Unavailable', 'Redis is unreachable'))
        : (target[method] as unknown as () => unknown),
  })
}

function replicaOf(store: ModelStore, name = 'a') {
  const replica = new Replica({ modelNames: ['forest'], seed: name, clock: () => now })
  replica.known.use(names)
  const counts = { fitted: [] as string[], refused: [] as string[] }
  const life = createModelLife({
    replica,
    name,
    detectors: [forest],
    store,
    features,
    fitModel: async (fit) => fitModel(fit),
    seed: 's',
    metrics: {
      fitted: (outcome) => counts.fitted.push(outcome),
      refused: (what, reason) => counts.refused.push(`${what} ${reason}`),
      setModel: () => {},
    },
    log: silent,
    wall: () => now,
  })
  const chance = random(name)
  const learn = (count: number, of: readonly string[] = columns) => {
    const rows = Float64Array.from({ length: count * of.length }, () => chance.next())
    return replica.scoreNow({ columns: of, rows, count, explainFrom: 9 })
  }
  return { replica, life, learn, counts }
}

describe('Model life', () => {
  beforeEach(() => {
    now = Date.UTC(2026, 0, 1)
  })

  it('waits for the pointer, and is ready without a model', async () => {
    let away = true
    const { life, replica } = replicaOf(flaky(memoryModels(), () => away))
    await life.turn()
    expect(life.ready()).to.equal('the pointer to the current model was not read yet: Redis is unreachable')
    away = false
    await life.turn()
    expect(life.ready()).to.equal(undefined)
    expect(replica.modelVersion).to.equal('LEARNING')
  })

  it('fits a first model when enough rows have come, and moves the pointer to it', async () => {
    const store = memoryModels()
    const { life, learn, replica, counts } = replicaOf(store)
    learn(firstFit - 1)
    await life.turn()
    expect(replica.modelVersion).to.equal('LEARNING')
    learn(1)
    await life.turn()
    expect(replica.modelVersion).to.match(new RegExp(`^forest-${firstFit}-`))
    const fittedAt = now
    expect(await store.current()).to.deep.equal({ version: replica.modelVersion, rowsSeen: firstFit, fittedAt })
    now += 60_000
    const follower = replicaOf(store, 'follower')
    await follower.life.turn()
    expect([life.fittedAt(), follower.life.fittedAt()]).to.deep.equal([fittedAt, fittedAt])
    expect(learn(1).surprisals[0]![0]).to.be.above(0)
    await life.turn()
    expect(counts).to.deep.equal({ fitted: ['Swapped'], refused: [] })
  })

  it('fits one model on what all replicas saw, and all follow it', async () => {
    const store = memoryModels()
    const one = replicaOf(store, 'one')
    const other = replicaOf(store, 'other')
    one.learn(1000)
    await one.life.turn()
    other.learn(firstFit)
    await other.life.turn()
    expect(other.counts.fitted).to.deep.equal(['NotDue'])
    expect(other.replica.modelVersion).to.equal(one.replica.modelVersion)
    one.learn(1000)
    await one.life.turn()
    expect(one.replica.modelVersion).to.match(new RegExp(`^forest-${2000 + firstFit}-`))
    await other.life.turn()
    expect(other.replica.modelVersion).to.equal(one.replica.modelVersion)
    expect(other.life.ready()).to.equal(undefined)
  })

  it('lets one replica fit at a time', async () => {
    const store = memoryModels()
    const lock = await store.lock(60)
    const { life, learn, replica, counts } = replicaOf(store)
    learn(100)
    await life.turn()
    expect(counts.fitted).to.deep.equal(['Locked'])
    expect(replica.modelVersion).to.equal('LEARNING')
    await lock!.release()
    learn(400)
    await life.turn()
    expect(counts.fitted).to.deep.equal(['Locked', 'Swapped'])
    expect(await store.lock(1), 'it let go of the lock').to.not.equal(undefined)
  })

  it('does not give up a model for one of fewer rows', async () => {
    const store = memoryModels()
    const rich = replicaOf(store, 'rich')
    rich.learn(5000)
    await rich.life.turn()
    await store.putReservoir('rich', new Uint8Array(0))
    const poor = replicaOf(store, 'poor')
    poor.learn(1000)
    await poor.life.turn()
    expect(poor.counts.fitted).to.deep.equal(['NotDue'])
    expect((await store.current())?.rowsSeen).to.equal(5000)
    expect(poor.replica.modelVersion).to.equal(rich.replica.modelVersion)
  })

  it('is not ready while it has not loaded the model that the pointer names', async () => {
    const store = memoryModels()
    const first = replicaOf(store, 'first')
    first.learn(100)
    await first.life.turn()
    let away = false
    const late: ModelStore = { ...store, get: (version) => flaky(store, () => away).get(version) }
    const { life, replica, learn } = replicaOf(late, 'late')
    away = true
    await life.turn()
    expect(life.ready()).to.equal(`model ${first.replica.modelVersion} is not loaded yet`)
    expect(learn(1).modelVersionOf(0)).to.equal('LEARNING')
    away = false
    await life.turn()
    expect(life.ready()).to.equal(undefined)
    expect(replica.modelVersion).to.equal(first.replica.modelVersion)
  })

  for (const [what, spoil] of [
    ['damaged', (bytes: Uint8Array) => bytes.map((byte, i) => (i === 500 ? byte ^ 1 : byte))],
    ['cut short', (bytes: Uint8Array) => bytes.slice(0, 700)],
    ['of another format', (bytes: Uint8Array) => bytes.map((byte, i) => (i === 8 ? 99 : byte))],
  ] as const)
    it(`refuses an artifact that is ${what}, keeps the former and replaces it with the next fit`, async () => {
      const store = memoryModels()
      const one = replicaOf(store, 'one')
      one.learn(100)
      await one.life.turn()
      const former = one.replica.modelVersion
      const other = replicaOf(store, 'other')
      other.learn(500)
      await other.life.turn()
      const { version } = (await store.current())!
      expect(version).to.not.equal(former)
      await store.put(version, spoil((await store.get(version))!))
      for (let i = 0; i < 3; i++) await one.life.turn()
      expect(one.counts.refused).to.deep.equal(['model Damaged'])
      expect(one.replica.modelVersion).to.equal(former)
      expect(one.life.ready()).to.equal(undefined)
      one.learn(1900)
      await one.life.turn()
      expect(one.replica.modelVersion).to.match(/^forest-2500-/)
      await other.life.turn()
      expect(other.replica.modelVersion).to.equal(one.replica.modelVersion)
    })

  it('scores on without the store, refits when it is back, and gives an emptied one its model', async () => {
    let away = false
    let store = memoryModels()
    const behind = new Proxy({} as ModelStore, {
      get: (_, method: keyof ModelStore) => flaky(store, () => away)[method],
    })
    const { life, learn, replica, counts } = replicaOf(behind)
    learn(100)
    await life.turn()
    const former = replica.modelVersion
    away = true
    expect(learn(900).modelVersionOf(899)).to.equal(former)
    await life.turn()
    expect(life.storeProblem()).to.equal('Redis is unreachable')
    expect(life.ready()).to.equal(undefined)
    expect(replica.modelVersion).to.equal(former)
    store = memoryModels()
    away = false
    await life.turn()
    expect(life.storeProblem()).to.equal(undefined)
    expect(replica.modelVersion).to.match(/^forest-1000-/)
    expect((await store.current())?.version).to.equal(replica.modelVersion)
    expect(counts.fitted).to.deep.equal(['Swapped', 'Swapped'])

    store = memoryModels()
    await life.turn()
    expect((await store.current())?.version).to.equal(replica.modelVersion)
    const newcomer = replicaOf(store, 'newcomer')
    await newcomer.life.turn()
    expect(newcomer.replica.modelVersion).to.equal(replica.modelVersion)
  })

  it('goes on with what an earlier process of the same replica learnt', async () => {
    const store = memoryModels()
    const before = replicaOf(store)
    before.learn(150)
    await before.life.turn()
    before.learn(50)
    await before.life.stop!()
    const after = replicaOf(store)
    after.learn(10)
    await after.life.turn()
    expect(after.replica.reservoir.rowsSeen).to.equal(210)
    expect(after.replica.modelVersion).to.equal(before.replica.modelVersion)
  })

  it('makes one reservoir of those of replicas that are gone', async () => {
    const store = memoryModels()
    for (const name of ['x', 'y']) {
      const gone = replicaOf(store, name)
      gone.learn(300)
      await gone.life.turn()
      await gone.life.stop!()
    }
    now += 2 * hour
    const { life, learn, replica } = replicaOf(store, 'alive')
    learn(1400)
    await life.turn()
    expect(replica.modelVersion).to.match(/^forest-2000-/)
    const left = [...(await store.reservoirs())].map(([name, bytes]) => [
      name,
      bytes.length === 0 ? 0 : decodeReservoir(bytes).reservoir.rowsSeen,
    ])
    expect(left).to.deep.equal([['alive', 1400], ['retired', 600], ['x', 0], ['y', 0]]) // biome-ignore format: a table
    learn(1600)
    await life.turn()
    expect(replica.modelVersion, 'nothing counts twice').to.match(/^forest-3600-/)
  })

  it('leaves out reservoirs that it cannot read, with a count', async () => {
    const store = memoryModels()
    await store.putReservoir('broken', Uint8Array.of(1, 2, 3))
    const { life, learn, replica, counts } = replicaOf(store)
    learn(100)
    await life.turn()
    expect(replica.modelVersion).to.match(/^forest-100-/)
    expect(new Set(counts.refused)).to.deep.equal(new Set(['reservoir Damaged']))
  })

  it('keeps its model when a fit fails, and does not try again before more rows have come', async () => {
    let fits = 0
    const replica = new Replica({ modelNames: ['forest'], seed: 1, clock: () => now })
    const life = createModelLife({
      replica,
      name: 'a',
      detectors: [forest],
      store: memoryModels(),
      features,
      fitModel: async () => {
        fits++
        throw new Error('no memory')
      },
      seed: 's',
      metrics: { fitted: () => {}, refused: () => {}, setModel: () => {} },
      log: silent,
      wall: () => now,
    })
    replica.scoreNow({ columns, rows: new Float64Array(200), count: 100, explainFrom: 9 })
    await life.turn()
    await life.turn()
    expect(fits).to.equal(1)
    expect(life.storeProblem()).to.equal(undefined)
  })
})

describe('Replica', () => {
  it('keeps what others taught it, whatever one caller sends, and after a restart', async () => {
    const { replica } = replicaOf(memoryModels())
    const send = (to: Replica, caller: string, value: number, calls: number) => {
      const keyIds = Uint32Array.from({ length: 1000 }, (_, i) => 1 + i)
      const batch = { columns: ['value'], rows: new Float64Array(1000).fill(value), count: 1000, explainFrom: 9 }
      for (let call = 0; call < calls; call++) to.scoreNow({ ...batch, keyIds }, caller)
    }
    const shareOf = (of: Replica, value: number) => {
      const rows = of.reservoir.rows()
      return rows.filter((x) => x === value).length / rows.length
    }
    send(replica, '10.0.0.1', 1, 10)
    send(replica, '10.0.0.9', 2, 690)
    expect(shareOf(replica, 1)).to.be.at.least(0.5)
    const { reservoir } = decodeReservoir(
      encodeReservoir({ columns: ['value'], savedAt: 0, reservoir: replica.reservoir }),
    )
    replica.resume(reservoir, ['value'])
    send(replica, '10.0.0.9', 2, 690)
    expect(shareOf(replica, 1)).to.be.at.least(0.5)
  })

  it('gives the same scores to rows whose columns come in another order', () => {
    const { replica, learn } = replicaOf(memoryModels())
    learn(200)
    const fit = { rows: replica.reservoir.rows(), columns, rowsSeen: 200, trees: 10, sampleSize: 32, seed: 1 }
    replica.use(new ModelSet([fitModel(fit)]))
    const explainFrom = 0
    const same = replica.scoreNow({ columns, rows: Float64Array.of(0.1, 7), count: 1, explainFrom })
    const turned = replica.scoreNow({
      columns: ['extra', 'amount', 'value'],
      rows: Float64Array.of(5, 7, 0.1),
      count: 1,
      explainFrom,
    })
    expect(turned.surprisals).to.deep.equal(same.surprisals)
    expect(turned.explanations).to.deep.equal(same.explanations)
    expect(replica.columns).to.deep.equal(['value', 'amount', 'extra'])
  })
})

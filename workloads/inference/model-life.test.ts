import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { fitModel } from '../detection/model.ts'
import { random } from '../detection/random.ts'
import { nextRefit } from '../detection/refit-schedule.ts'
import { ModelSet } from '../scoring/model-set.ts'
import type { ModelPolicy } from '../scoring/takeover.ts'
import { createMemoryState } from '../state/memory.ts'
import type { ModelStore } from '../state/state.ts'
import { createModelLife } from './model-life.ts'
import { Replica } from './replica.ts'
import { decodeReservoir, encodeReservoir } from './stored-reservoir.ts'

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const forest = { name: 'forest', type: 'isolationForest', trees: 10, sampleSize: 32, refitEvents: 1000 } as const
const columns = ['value', 'amount']
const firstFit = nextRefit(0, forest.refitEvents)
const hour = 3_600_000
let policy: ModelPolicy = {}

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

function replicaOf(store: ModelStore, name = 'a', detectors: readonly (typeof forest)[] = [forest]) {
  const replica = new Replica({
    modelNames: detectors.map((detector) => detector.name),
    seed: name,
    clock: () => now,
    threshold: () => 7,
  })
  replica.known.use(names)
  const counts = { fitted: [] as string[], refused: [] as string[] }
  const life = createModelLife({
    replica,
    policy: () => policy,
    name,
    detectors,
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
  /** Rows about a level, of many keys. */
  const learnAbout = (level: number, count: number, times?: { first: number; last: number }) => {
    const rows = Float64Array.from({ length: 2 * count }, () => level + chance.next() + chance.next())
    const keyIds = Uint32Array.from({ length: count }, (_, i) => 1 + i)
    replica.scoreNow({ columns, rows, count, explainFrom: 9, keyIds, times })
  }
  return { replica, life, learn, learnAbout, counts }
}

describe('Model life', () => {
  beforeEach(() => {
    policy = {}
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

  it('fits at once where the current model is of other detectors than a pipeline that begins anew', async () => {
    const store = memoryModels()
    const former = replicaOf(store, 'former')
    former.learn(3000)
    await former.life.turn()
    const { life, replica, counts } = replicaOf(store, 'next', [forest, forest])
    await life.turn()
    await life.turn()
    expect(replica.modelVersion).to.match(/^forest-3000-[0-9a-f]{8}\+forest-3000-/)
    expect(counts.fitted).to.deep.equal(['Swapped'])
    for (let i = 0; i < 3; i++) await former.life.turn()
    expect(former.replica.modelVersion, 'goes on with its own until it ends').to.match(/^forest-3000-[0-9a-f]{8}$/)
    expect(former.counts.fitted).to.deep.equal(['Swapped'])
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

  it('refuses models that would flood or blind, keeps them, and gives in after several', async () => {
    const store = memoryModels()
    const { life, replica, counts, learnAbout } = replicaOf(store)
    learnAbout(0, 4000)
    await life.turn()
    const present = replica.modelVersion
    for (const [refusals, total] of [5000, 6000, 7000].entries()) {
      learnAbout(500 * (refusals + 1), 1000)
      await life.turn()
      expect(replica.modelVersion).to.equal(present)
      expect(counts.fitted.at(-1)).to.equal('Refused')
      const [newest] = life.records()
      expect(newest).to.include({ outcome: 'Refused', rowsSeen: total })
      expect(newest!.reason).to.include('the model that serves')
      expect(await store.get(newest!.version), 'may be pinned or challenge').to.not.equal(undefined)
      expect((await store.current())?.version).to.equal(present)
    }
    learnAbout(2000, 1000)
    await life.turn()
    expect(life.records()[0]).to.include({ outcome: 'Forced', rowsSeen: 8000 })
    expect(replica.modelVersion).to.match(/^forest-8000-/)
  })

  it('records what each model was fitted on, and forgets the oldest', async () => {
    const { life, learnAbout, replica } = replicaOf(memoryModels())
    for (let fits = 0; fits < 7; fits++) {
      learnAbout(0, 1000, { first: 1000 * fits, last: 1000 * fits + 999 })
      await life.turn()
    }
    const records = life.records()
    expect(records.map(({ rowsSeen }) => rowsSeen)).to.deep.equal([7000, 6000, 5000, 4000, 3000])
    const { version, bytes, checksum, comparison, ...newest } = records[0]!
    expect(newest).to.deep.equal({
      ...{ rowsSeen: 7000, columns, outcome: 'TookOver', fittedAt: now, times: { first: 0, last: 6999 } },
    })
    expect(version).to.equal(replica.modelVersion)
    expect(bytes).to.be.above(1000)
    expect(checksum).to.match(/^[0-9a-f]{64}$/)
    expect(comparison!.agreement).to.be.above(0.3)
  })

  it('goes back to a version that is pinned, holds it, and lets the newest serve again without the pin', async () => {
    const store = memoryModels()
    const { life, learnAbout, replica, counts } = replicaOf(store)
    const refit = async () => {
      learnAbout(0, 1000)
      await life.turn()
      return replica.modelVersion
    }
    const first = await refit()
    const second = await refit()
    policy = { model: { pin: first } }
    await life.turn()
    expect(replica.modelVersion).to.equal(first)
    const other = replicaOf(store, 'other')
    await other.life.turn()
    expect([other.replica.modelVersion, other.life.ready()]).to.deep.equal([first, undefined])
    expect(await refit()).to.equal(first)
    expect(counts.fitted.at(-1)).to.equal('Held')
    now += 29 * 24 * hour
    policy = {}
    await life.turn()
    expect(replica.modelVersion).to.equal(second)
    expect(await refit()).to.match(/^forest-4000-/)
  })

  it('says that a pinned version is not kept, once, while the present one goes on', async () => {
    const { life, learnAbout, replica, counts } = replicaOf(memoryModels())
    learnAbout(0, 1000)
    await life.turn()
    const present = replica.modelVersion
    policy = { model: { pin: 'forest-9-gone', challenger: { version: 'forest-8-gone', percentOfKeys: 50 } } }
    for (let i = 0; i < 3; i++) {
      learnAbout(0, 1000)
      await life.turn()
    }
    expect(replica.modelVersion).to.equal(present)
    expect(life.ready()).to.equal(undefined)
    expect(life.problems()).to.deep.equal({
      pin: 'model forest-9-gone is not kept',
      challenger: 'model forest-8-gone is not kept',
    })
    expect(counts.refused).to.deep.equal(['model Missing', 'model Missing'])
    expect(replica.served.figures()).to.equal(undefined)
    policy = {}
    await life.turn()
    expect(life.problems()).to.deep.equal({})
  })

  it('serves a challenger on its keys, however many models come and go meanwhile', async () => {
    const store = memoryModels()
    const { life, learnAbout, replica } = replicaOf(store)
    learnAbout(0, 1000)
    await life.turn()
    const challenger = replica.modelVersion
    policy = { model: { challenger: { version: challenger, percentOfKeys: 50 } } }
    for (let fits = 0; fits < 8; fits++) {
      learnAbout(0, 1000)
      await life.turn()
    }
    const champion = replica.modelVersion
    expect(champion).to.match(/^forest-9000-/)
    const newcomer = replicaOf(store, 'newcomer')
    await newcomer.life.turn()
    const keyIds = Uint32Array.from({ length: 100 }, (_, i) => 1 + i)
    const batch = { columns, rows: new Float64Array(200), count: 100, explainFrom: 9, keyIds }
    const versionsOf = (of: Replica) => {
      const scored = of.scoreNow(batch)
      return Array.from({ length: 100 }, (_, row) => scored.modelVersionOf(row))
    }
    expect(new Set(versionsOf(replica))).to.deep.equal(new Set([champion, challenger]))
    expect(versionsOf(newcomer.replica)).to.deep.equal(versionsOf(replica))
    policy = {}
    await life.turn()
    expect(new Set(versionsOf(replica))).to.deep.equal(new Set([champion]))
  })

  it('does not use an artifact that is not the one of its record', async () => {
    const store = memoryModels()
    const { life, learnAbout, replica } = replicaOf(store)
    learnAbout(0, 1000)
    await life.turn()
    const first = replica.modelVersion
    learnAbout(0, 1000)
    await life.turn()
    const record = (await store.records()).find(({ version }) => version === first)!
    await store.putRecord({ ...record, checksum: '0'.repeat(64) }, new Set([replica.modelVersion]))
    policy = { model: { pin: first } }
    const other = replicaOf(store, 'other')
    await other.life.turn()
    expect(other.life.problems()).to.deep.equal({ pin: `model ${first} cannot be read` })
    expect(other.replica.modelVersion).to.equal(replica.modelVersion)
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
    const replica = new Replica({ modelNames: ['forest'], seed: 1, clock: () => now, threshold: () => 7 })
    const life = createModelLife({
      replica,
      policy: () => policy,
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
    replica.resume(reservoir, ['value'], undefined)
    send(replica, '10.0.0.9', 2, 690)
    expect(shareOf(replica, 1)).to.be.at.least(0.5)
  })

  it('gives the same scores to rows whose columns come in another order', () => {
    const { replica, learn } = replicaOf(memoryModels())
    learn(200)
    const fit = { rows: replica.reservoir.rows(), columns, rowsSeen: 200, trees: 10, sampleSize: 32, seed: 1 }
    replica.served.use(new ModelSet([fitModel(fit)]))
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

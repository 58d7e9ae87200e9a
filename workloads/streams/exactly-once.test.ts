import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { eventually } from '../../test/harness/eventually.ts'
import { MemoryBroker, rebalancing, refused, steps } from '../../test/harness/memory-broker.ts'
import { ExactlyOnceLoop, type ExactlyOnceOptions } from './exactly-once.ts'
import type { PartitionHandler } from './partition-handler.ts'

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `${from + i}`)

/** Uniform in [0, 1), the same for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** A loop whose handler counts what it has learnt, and publishes the count with each record. */
function start(broker: MemoryBroker, options: Partial<ExactlyOnceOptions> = {}) {
  const learnt = new Map<number, number>()
  const staged = new Map<number, number>()
  const loop = new ExactlyOnceLoop(broker.clients, {
    topic: broker.topic,
    groupId: 'group',
    startFrom: 'Earliest',
    maxRecords: 7,
    spacingMs: 0,
    onOffsetLost: () => expect.fail('lost offsets'),
    handler: {
      assigned: async () => {},
      batch: async ({ partition, records }) => {
        let count = staged.get(partition) ?? learnt.get(partition) ?? 0
        const outgoing = records.map(({ value }) => {
          return { topic: 'verdicts', key: `${partition}`, value: `${value} after ${count++}` }
        })
        staged.set(partition, count)
        return outgoing
      },
      committed: ({ partition }) => {
        if (staged.has(partition)) learnt.set(partition, staged.get(partition)!)
        staged.delete(partition)
      },
      dropped: ({ partition }) => void staged.delete(partition),
      releasing: async () => {},
      revoked: ({ partition }) => void staged.delete(partition),
      tooLarge: (record) => record,
      unprocessable: ({ key, value }) => ({ topic: 'dead-letters', key, value }),
      setAside: () => {},
    },
    ...options,
  })
  loop.start()
  return loop
}

const nothing: PartitionHandler = {
  assigned: async () => {},
  batch: async () => [],
  committed: () => {},
  dropped: () => {},
  releasing: async () => {},
  revoked: () => {},
  tooLarge: (record) => record,
  unprocessable: ({ value }) => ({ topic: 'dead-letters', key: null, value }),
  setAside: () => {},
}

const published = (broker: MemoryBroker, partition: number) =>
  broker.published.filter(({ key }) => key === `${partition}`).map(({ value }) => value)
const inStep = (values: readonly string[]) => values.map((value, i) => `${value} after ${i}`)

describe('ExactlyOnceLoop', () => {
  it('starts a group for all partitions at once, then reads', async () => {
    const broker = new MemoryBroker(numbers(0, 20), numbers(20, 30))
    const loop = start(broker, { startFrom: 'Latest' })
    await eventually(() => expect(loop.ready()).to.equal(true))
    expect(broker.log).to.include('sendOffsets 0:20,1:10')
    broker.partitions[1]!.push('late')
    await eventually(() => expect(published(broker, 1)).to.deep.equal(['late after 0']))
    await loop.stop()
    expect(loop.problemOf('kafka')).to.equal('stopping')
  })

  it('makes another member when one has crashed, and says why meanwhile', async () => {
    const broker = new MemoryBroker(numbers(0, 20))
    const loop = start(broker)
    await eventually(() => expect(loop.ready()).to.equal(true))
    const first = broker.member!
    let isAway = true
    broker.fault = (step) => (step === 'join' && isAway ? { error: refused() } : undefined)
    first.crash(new Error('no idea'))
    await eventually(() => expect(loop.problemOf('kafka')).to.equal('Kafka: COORDINATOR_NOT_AVAILABLE'))
    isAway = false
    await eventually(() => expect(loop.ready()).to.equal(true))
    expect(broker.member).not.to.equal(first)
    await loop.stop()
  })

  it('ends while nothing answers', async () => {
    const broker = new MemoryBroker(numbers(0, 20))
    broker.fault = () => ({ error: refused() })
    const loop = start(broker)
    await eventually(() => expect(loop.problemOf('kafka')).to.match(/^Kafka: /))
    await loop.stop()
  })

  it('publishes each record once, in order, in step with what is learnt, whichever steps fail', async function () {
    this.timeout(60_000)
    for (let seed = 1; seed <= 60; seed++) {
      const random = randomOf(seed)
      const values = [numbers(0, 100), numbers(100, 150)]
      const broker = new MemoryBroker(...values.map((of) => [...of]))
      broker.fetchSize = 1 + Math.floor(20 * random())
      let isCalm = false
      broker.fault = (step) => {
        if (isCalm || random() > 0.15) return undefined
        if (random() < 0.1) broker.fence(`group/events/${Math.floor(2 * random())}`)
        if (random() < 0.1 && broker.member !== undefined) broker.member.crash(new Error('no idea'))
        return steps.includes(step)
          ? { error: random() < 0.2 ? rebalancing() : refused(), isLost: random() < 0.5 }
          : undefined
      }
      const loop = start(broker)
      try {
        await eventually(() => expect(broker.published.length).to.be.at.least(75))
        isCalm = true
        await eventually(() => expect([...broker.committed.values()].reduce((a, b) => a + b, 0)).to.equal(150))
      } finally {
        await loop.stop()
      }
      for (const [partition, of] of values.entries())
        expect(published(broker, partition), `partition ${partition}, seed ${seed}`).to.deep.equal(inStep(of))
    }
  })

  describe('records that cannot be processed', () => {
    const isBad = (value: string): boolean => value.startsWith('bad')
    /** Values with some bad ones among them, each with the given share. */
    const mixed = (random: () => number, length: number, share: number) =>
      Array.from({ length }, (_, i) => (random() < share ? `bad ${i}` : `${i}`))

    it('exactly those are set aside, in their places, however many and whichever steps of the protocol fail', async function () {
      this.timeout(60_000)
      for (let seed = 1; seed <= 40; seed++) {
        const random = randomOf(seed)
        const values = mixed(random, 60, [0.02, 0.1, 0.5, 1][seed % 4]!)
        const broker = new MemoryBroker([...values])
        broker.fetchSize = 1 + Math.floor(60 * random())
        let faults = seed % 2 === 0 ? 0 : 6
        broker.fault = () =>
          random() < 0.05 && faults-- > 0 ? { error: refused(), isLost: random() < 0.5 } : undefined
        const aside: string[] = []
        const loop = start(broker, {
          maxRecords: 1 + Math.floor(40 * random()),
          handler: {
            ...nothing,
            batch: async ({ records }) => {
              const bad = records.find(({ value }) => isBad(String(value)))
              if (bad !== undefined) throw new RangeError(`no idea what to do\nwith ${bad.value}`)
              return records.map(({ value }) => ({ topic: 'verdicts', key: '0', value }))
            },
            unprocessable: ({ value }) => ({ topic: 'dead-letters', key: '0', value }),
            setAside: ({ value }) => void aside.push(String(value)),
          },
        })
        try {
          await eventually(() => expect(broker.committed.get(0)).to.equal(values.length))
        } finally {
          await loop.stop()
        }
        const where = `seed ${seed}`
        expect(
          broker.published.map(({ value }) => String(value)),
          where,
        ).to.deep.equal(values)
        expect(aside, where).to.deep.equal(values.filter(isBad))
        for (const { topic, value } of broker.published)
          expect(topic, `${value}, ${where}`).to.equal(isBad(String(value)) ? 'dead-letters' : 'verdicts')
      }
    })

    for (const server of ['kafka', 'state', 'inference'] as const) {
      it(`failures of ${server} are never taken for the record's, and are named`, async () => {
        const broker = new MemoryBroker(numbers(0, 20))
        let failures = 0
        let isAway = true
        const loop = start(broker, {
          handler: {
            ...nothing,
            batch: async ({ records }) => {
              failures++
              if (isAway) throw new AppError('Unavailable', `${server} is away`, { server })
              return records.map(({ value }) => ({ topic: 'verdicts', key: '0', value }))
            },
            setAside: () => expect.fail('set aside'),
          },
        })
        await eventually(() => expect(failures).to.be.at.least(8))
        expect(loop.problem()).to.deep.equal({ part: server, message: `events-0: ${server} is away` })
        expect(loop.lag()).to.deep.equal(new Map([[0, 20]]))
        isAway = false
        await eventually(() => expect(broker.committed.get(0)).to.equal(20))
        expect(loop.problem()).to.equal(undefined)
        await loop.stop()
      })
    }

    it('a failure that passes sets nothing aside', async () => {
      const broker = new MemoryBroker(numbers(0, 50))
      let failures = 0
      const loop = start(broker, {
        handler: {
          ...nothing,
          batch: async ({ records }) => {
            if (++failures < 6) throw new TypeError('no idea')
            return records.map(({ value }) => ({ topic: 'verdicts', key: '0', value }))
          },
          setAside: () => expect.fail('set aside'),
        },
      })
      await eventually(() => expect(broker.committed.get(0)).to.equal(50))
      await loop.stop()
      expect(broker.published.map(({ value }) => String(value))).to.deep.equal(numbers(0, 50))
    })
  })

  it('begins anew when the topic is made anew while it reads, however long the new one is', async () => {
    for (const length of [5, 60]) {
      const broker = new MemoryBroker(numbers(0, 20))
      let remade = 0
      const loop = start(broker, { onTopicRemade: () => void remade++ })
      await eventually(() => expect(broker.committed.get(0)).to.equal(20))
      broker.partitions[0] = numbers(1000, 1000 + length)
      broker.topicId = 'second'
      await eventually(() => expect(broker.published.length).to.equal(20 + length))
      await loop.stop()
      expect(published(broker, 0)).to.deep.equal(inStep([...numbers(0, 20), ...numbers(1000, 1000 + length)]))
      expect([remade, broker.committed.get(0)]).to.deep.equal([1, length])
    }
  })

  it('knows what waits also while nothing moves', async () => {
    const broker = new MemoryBroker(numbers(0, 20))
    const forever: PartitionHandler['batch'] = (_, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const loop = start(broker, { handler: { ...nothing, batch: forever } })
    await eventually(() => expect(loop.lag()).to.deep.equal(new Map([[0, 20]])))
    broker.partitions[0]!.push('late')
    await eventually(() => expect(loop.lag()).to.deep.equal(new Map([[0, 21]])))
    await loop.stop()
  })
})

import { expect } from 'chai'
import type { BatchControl } from '../../lib/kafka/group.ts'
import type { OpenProducer, TransactionalProducer } from '../../lib/kafka/transactional-producer.ts'
import { eventually } from '../../test/harness/eventually.ts'
import { controlOf, MemoryBroker, rebalancing, refused, unknownMember } from '../../test/harness/memory-broker.ts'
import { random } from '../detection/random.ts'
import { Lanes } from './lanes.ts'
import type { PartitionHandler } from './partition-handler.ts'
import { Pulse } from './pulse.ts'

interface Around {
  readonly openProducer: (id: string, open: OpenProducer) => Promise<TransactionalProducer>
  readonly warn: (message: string | undefined) => void
}

const both = [0, 1].map((partition) => ({ topic: 'events', partition }))

function open(
  handler: Partial<PartitionHandler> = {},
  { openProducer = (id, open) => open(id), warn = () => {} }: Partial<Around> = {},
) {
  const broker = new MemoryBroker(['a', 'b', 'c', 'd'], ['e'])
  const { clients } = broker
  for (const { partition } of both) broker.committed.set(partition, 0)
  const calls: string[] = []
  const lost: object[] = []
  const sought: string[] = []
  const stopping = new AbortController()
  const lanes = new Lanes({
    ...clients,
    openProducer: (id) => openProducer(id, clients.openProducer),
    log: { ...clients.log, warn: (_: object, message?: string) => warn(message) },
    group: () => ({ groupId: 'group', isNew: true }),
    maxRecords: 2,
    maxSendBytes: 1 << 20,
    spacingMs: 0,
    pulse: new Pulse(broker.clock),
    stopping: stopping.signal,
    startFrom: 'Earliest',
    onTopicRemade: () => {},
    seek: ({ partition }, offset) => void sought.push(`${partition} at ${offset}`),
    onOffsetLost: (of, range) => void lost.push({ partition: of.partition, ...range }),
    handler: {
      assigned: async () => {},
      batch: async ({ records }) => records.map(({ key, value }) => ({ topic: 'verdicts', key, value })),
      committed: ({ partition }, next) => void calls.push(`committed ${partition} to ${next}`),
      dropped: ({ partition }) => void calls.push(`dropped ${partition}`),
      releasing: async (partitions) =>
        void calls.push(`releasing ${partitions.map(({ partition }) => partition).join()}`),
      revoked: ({ partition }) => void calls.push(`revoked ${partition}`),
      tooLarge: (record) => record,
      unprocessable: ({ key, value }) => ({ topic: 'dead-letters', key, value }),
      setAside: () => {},
      ...handler,
    },
  })
  const join = async (partitions = both): Promise<void> => {
    lanes.joined(partitions, undefined)
    await Promise.all([...lanes.values()].map(({ settled }) => settled))
  }
  const fetched = (control: Partial<BatchControl> = {}) =>
    lanes.batch(
      { topic: 'events', partition: 0, records: broker.recordsOf(0, 0, 4), highWatermark: 4 },
      controlOf(4, control),
    )
  return { broker, lanes, calls, lost, sought, stopping, join, fetched }
}

/** What the first call waits for, and whether it came. */
function gate() {
  const { promise: opened, resolve: open } = Promise.withResolvers<void>()
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>()
  const wait = async (signal?: AbortSignal): Promise<void> => {
    reach()
    await Promise.race([opened, new Promise((done) => signal?.addEventListener('abort', done))])
    signal?.throwIfAborted()
  }
  return { open, reached, wait }
}

describe('Lanes', () => {
  it('reads when every partition of the last join is taken', async () => {
    const { lanes, join } = open()
    expect(lanes.isReading).to.equal(false)
    await join()
    await eventually(() => expect(lanes.isReading).to.equal(true))
    await lanes.leaving()
    expect(lanes.isReading).to.equal(false)
  })

  it('lets the batch in work end before it releases the partitions', async () => {
    const { open: finish, reached, wait } = gate()
    const { lanes, calls, join, fetched } = open({
      batch: async () => {
        await wait()
        return []
      },
    })
    await join()
    const working = fetched()
    await reached
    const leaving = lanes.leaving()
    finish()
    await Promise.all([working, leaving])
    expect(calls).to.deep.equal(['committed 0 to 4', 'releasing 0,1'])
  })

  it('drops the batch in work when it takes too long', async () => {
    const { reached, wait } = gate()
    const { broker, lanes, calls, join, fetched } = open({
      batch: async (_, signal) => {
        await wait(signal)
        return []
      },
    })
    await join()
    const working = fetched()
    await reached
    await lanes.leaving()
    await working
    expect(calls).to.deep.equal(['dropped 0', 'releasing 0,1'])
    expect(broker.committed.get(0)).to.equal(0)
  })

  it('begins no further slice when the group wants its members back, and joins anew', async () => {
    const { open: finish, reached, wait } = gate()
    const { broker, join, fetched } = open({
      batch: async () => {
        await wait()
        return []
      },
    })
    await join()
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>()
    const working = fetched({
      heartbeat: async () => {
        ask()
        throw rebalancing()
      },
    })
    await reached
    await asked
    finish()
    const thrown: unknown = await working.catch((error: unknown) => error)
    expect(thrown).to.include({ type: 'REBALANCE_IN_PROGRESS' })
    expect(broker.committed.get(0)).to.equal(2)
  })

  it('drops the batch in work at once when the group knows it as a member no more', async () => {
    const { reached, wait } = gate()
    const { calls, join, fetched } = open({
      batch: async (_, signal) => {
        await wait(signal)
        return []
      },
    })
    await join()
    const working = fetched({
      heartbeat: async () => {
        throw unknownMember()
      },
    })
    await reached
    expect(await working.catch(({ type }: { type: string }) => type)).to.equal('UNKNOWN_MEMBER_ID')
    expect(calls).to.deep.equal(['dropped 0'])
  })

  it('does not work on a batch of a partition that is not its own', async () => {
    const { calls, join, fetched } = open()
    await join([both[1]!])
    await fetched()
    expect(calls).to.deep.equal([])
  })

  it('does not work on what was fetched before somebody sought another place', async () => {
    const { calls, join, fetched } = open()
    await join()
    await fetched({ isStale: () => true })
    expect(calls).to.deep.equal([])
  })

  it('gives up a partition that it has lost, after its batch, with what is unsettled of it', async () => {
    const { broker, lanes, calls, join, fetched } = open()
    await join()
    broker.fault = (step) => {
      if (step === 'commit') lanes.joined([both[1]!], undefined)
      return step === 'commit' || step === 'committedOffsets' ? { error: refused(), isLost: true } : undefined
    }
    await fetched()
    await eventually(() => expect(calls).to.deep.equal(['dropped 0', 'revoked 0']))
    await lanes.close(async () => true)
  })

  it('goes on at the first record that is left, and tells what is gone', async () => {
    const { broker, lanes, lost, join } = open()
    await join()
    broker.firstOffset = 3
    await lanes.outOfRange(both[0]!)
    expect([lost, [...lanes.values()][0]!.next]).to.deep.equal([[{ partition: 0, from: 0, to: 3 }], 3])
    await lanes.outOfRange(both[0]!)
    expect(lost).to.have.length(1)
  })

  it('goes on where it stands when only the member is elsewhere', async () => {
    const { lanes, lost, sought, join } = open()
    await join()
    sought.length = 0
    await lanes.outOfRange(both[0]!)
    expect([lost, sought]).to.deep.equal([[], ['0 at 0']])
  })

  it('releases by itself where the group cannot be left in time', async () => {
    const { lanes, calls, join } = open()
    await join()
    await lanes.close(async () => false)
    expect(calls).to.deep.equal(['releasing 0,1', 'revoked 0', 'revoked 1'])
    expect([...lanes.values()]).to.deep.equal([])
  })

  it('opens a partition once at a time, so that no opening fences a later one', async () => {
    const { open: answer, reached, wait } = gate()
    const opened: string[] = []
    const { broker, lanes, fetched } = open(
      {},
      {
        openProducer: async (id, open) => {
          if (opened.push(id) === 1) await wait()
          return open(id)
        },
      },
    )
    lanes.joined([both[0]!], undefined)
    await reached
    lanes.joined([both[1]!], undefined)
    lanes.joined([both[0]!], undefined)
    const working = fetched()
    answer()
    await working
    expect(broker.committed.get(0)).to.equal(4)
  })

  it('is never fenced while it is alone, however joins, new topics and failures fall', async function () {
    this.timeout(60_000)
    for (let seed = 1; seed <= 300; seed++) {
      const chance = random(seed)
      const turns = async (most: number): Promise<void> => {
        for (let left = chance.int(most + 1); left > 0; left--) await new Promise(setImmediate)
      }
      const warnings: (string | undefined)[] = []
      let isCalm = false
      const { broker, lanes, fetched } = open(
        { assigned: () => turns(5) },
        {
          openProducer: async (id, open) => {
            await turns(8)
            return open(id)
          },
          warn: (message) => void warnings.push(message),
        },
      )
      broker.fault = () =>
        isCalm || chance.next() > 0.1 ? undefined : { error: refused(), isLost: chance.next() < 0.5 }
      const working: Promise<unknown>[] = []
      for (let step = 0; step < 30; step++) {
        const drawn = chance.next()
        if (drawn < 0.3) lanes.joined([...both].slice(chance.int(2)), undefined)
        else if (drawn < 0.4) {
          broker.topicId = `topic ${step}`
          broker.committed.clear()
        } else if (drawn < 0.5)
          working.push(lanes.outOfRange(both[0]!).catch(() => {})) // it asks the broker as well
        else working.push(fetched())
        await turns(4)
      }
      isCalm = true
      lanes.joined(both, undefined)
      await Promise.all(working)
      expect(
        warnings.filter((message) => message?.startsWith('fenced')),
        `seed ${seed}`,
      ).to.deep.equal([])
      await lanes.close(async () => true)
    }
  })
})

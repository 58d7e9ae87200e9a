import { getEventListeners } from 'node:events'
import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import type { BatchControl } from '../../lib/kafka/group.ts'
import type { OutgoingRecord } from '../../lib/kafka/records.ts'
import { controlOf, MemoryBroker, refused, type Step, tooLarge } from '../../test/harness/memory-broker.ts'
import { Lane, type LaneOptions } from './lane.ts'
import type { PartitionHandler } from './partition-handler.ts'

const of = { topic: 'events', partition: 0 }
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `${from + i}`)

const goingOn = ({ signal }: Lane) => ({ signal, paused: () => false })

/** A lane on a broker whose only partition holds the numbers up to `count`. */
function open(
  count: number,
  { handler = {}, ...options }: Partial<Omit<LaneOptions, 'handler'>> & { handler?: Partial<PartitionHandler> } = {},
) {
  const broker = new MemoryBroker(numbers(0, count))
  broker.committed.set(0, 0)
  const calls: string[] = []
  const lane = new Lane(of, {
    ...broker.clients,
    group: () => ({ groupId: 'group', isNew: true }),
    maxRecords: 1000,
    maxSendBytes: 1 << 20,
    startFrom: 'Earliest',
    onTopicRemade: () => {},
    seek: (_, offset) => void calls.push(`seek ${offset}`),
    turned: () => {},
    handler: {
      assigned: async () => void broker.log.push('assigned'),
      batch: async ({ records }) => {
        calls.push(`batch ${records[0]!.offset} to ${records.at(-1)!.offset}`)
        return records.map(({ key, value }) => ({ topic: 'verdicts', key, value }))
      },
      committed: (_, next) => void calls.push(`committed ${next}`),
      dropped: () => void calls.push('dropped'),
      releasing: async () => {},
      revoked: () => {},
      tooLarge: (record) => ({ ...record, value: 'too large' }),
      unprocessable: ({ key, value }) => ({ topic: 'dead-letters', key, value }),
      setAside: () => {},
      ...handler,
    },
    ...options,
  })
  const take = (): Promise<boolean> => lane.take(undefined)
  /** One fetch of `size` records from where the lane stands. */
  const work = async (size: number, control: Partial<BatchControl> = {}, paused = () => false): Promise<void> => {
    const records = broker.recordsOf(0, lane.next, size)
    const end = (records.at(-1)?.offset ?? lane.next) + 1
    await lane.occupy(lane.signal, () =>
      lane.work({ ...of, records, highWatermark: count }, controlOf(end, control), { signal: lane.signal, paused }),
    )
  }
  const values = () => broker.published.map(({ value }) => String(value))
  /** The next time that this step comes, it fails. */
  const failNext = (step: Step, error: Error, isLost = false): void => {
    broker.fault = (at) => {
      if (at !== step) return undefined
      broker.fault = () => undefined
      return { error, isLost }
    }
  }
  return { broker, lane, calls, take, work, values, failNext }
}

describe('Lane', () => {
  it('fences the former owner, then takes the epoch, then reads the committed offset', async () => {
    const { broker, lane, calls, take } = open(10)
    broker.committed.set(0, 4)
    expect(await take()).to.equal(true)
    expect(broker.log).to.deep.equal(['initialise group/events/0', 'assigned', 'committedOffsets'])
    expect([lane.next, calls]).to.deep.equal([4, ['seek 4']])
  })

  for (const step of ['initialise', 'committedOffsets'] as const) {
    it(`starts again with the fence when ${step} fails`, async () => {
      const { broker, lane, take, failNext } = open(10)
      failNext(step, refused())
      expect(await take()).to.equal(true)
      expect(broker.log.slice(-3)).to.deep.equal(['initialise group/events/0', 'assigned', 'committedOffsets'])
      expect(lane.problem).to.equal(undefined)
    })
  }

  it('fences producers of earlier versions too where one may be in the group', async () => {
    const { broker, take } = open(10, { group: () => ({ groupId: 'group', isNew: false }) })
    await take()
    expect(broker.log.slice(0, 2)).to.deep.equal(['initialise group-events-0', 'initialise group/events/0'])
  })

  it('commits the first record of a partition that has no offset as its start', async () => {
    const { broker, lane, take } = open(10)
    broker.committed.clear()
    broker.firstOffset = 3
    await take()
    expect([lane.next, broker.committed.get(0)]).to.deep.equal([3, 3])
  })

  describe('of a topic that was made anew', () => {
    const remade = (committed: number, metadata: string, options: Parameters<typeof open>[1] = {}) => {
      let told = 0
      const opened = open(10, { onTopicRemade: () => void told++, ...options })
      opened.broker.committed.set(0, committed)
      opened.broker.metadata.set(0, metadata)
      opened.broker.topicId = 'second'
      return { ...opened, told: () => told }
    }

    for (const [startFrom, first] of [
      ['Earliest', 0],
      ['Latest', 10],
    ] as const) {
      it(`begins at ${first} from ${startFrom}, and keeps whose offset that is`, async () => {
        const { broker, lane, take, told } = remade(5, 'topic:first', { startFrom })
        await take()
        expect([lane.next, broker.committed.get(0), broker.metadata.get(0), told()]).to.deep.equal([
          first,
          first,
          'topic:second',
          1,
        ])
        await take()
        expect(told()).to.equal(1)
      })
    }

    it('begins at startFrom also where the broker forgot the offset with the topic', async () => {
      const { broker, lane, take, work, told } = remade(0, '', { startFrom: 'Latest' })
      broker.topicId = 'first'
      await take()
      await work(4)
      broker.topicId = 'second'
      broker.committed.clear()
      await take()
      expect([lane.next, told()]).to.deep.equal([10, 1])
    })

    it('begins at startFrom also where its first commit fails', async () => {
      const { broker, lane, take, work, told, failNext } = remade(0, '', { startFrom: 'Latest' })
      broker.topicId = 'first'
      await take()
      await work(4)
      broker.topicId = 'second'
      broker.committed.clear()
      failNext('commit', refused())
      await take()
      expect([lane.next, told()]).to.deep.equal([10, 1])
    })

    it('goes on where another owner has committed for the new one, though it has read more of the former', async () => {
      const { broker, lane, take, work, told } = remade(0, '')
      broker.topicId = 'first'
      await take()
      await work(8)
      broker.topicId = 'second'
      broker.committed.set(0, 3)
      broker.metadata.set(0, 'topic:second')
      await take()
      expect([lane.next, told()]).to.deep.equal([3, 0])
    })

    it('drops a commit of unknown fate that was for the former one', async () => {
      const { broker, calls, take, work } = remade(0, '')
      broker.topicId = 'first'
      await take()
      broker.fault = (step) => {
        if (step !== 'commit') return undefined
        broker.topicId = 'second'
        broker.committed.set(0, 9)
        broker.metadata.set(0, 'topic:second')
        return { error: refused() }
      }
      await work(4)
      expect(calls.slice(1)).to.deep.equal(['batch 0 to 3', 'dropped', 'seek 9'])
    })

    it('believes an offset that nothing was kept with, as earlier versions committed it', async () => {
      const { lane, take, told } = remade(5, '')
      await take()
      expect([lane.next, told()]).to.deep.equal([5, 0])
    })
  })

  it('is opened anew before its next transaction when a request of the last one may still be under way', async () => {
    const { broker, take, work } = open(8)
    await take()
    broker.isSpent = true
    await work(4)
    broker.isSpent = false
    expect(broker.log.filter((step) => step.startsWith('initialise'))).to.have.length(2)
    await work(4)
    expect(broker.committed.get(0)).to.equal(8)
  })

  it('is not opened for a process that has lost the partition meanwhile', async () => {
    const { broker, lane } = open(10)
    broker.fault = () => ({ error: refused() })
    const taken = lane.take(undefined)
    lane.abort()
    expect(await taken).to.equal(false)
  })

  it('hands over a fetch in slices, and commits them together', async () => {
    const { broker, calls, take, work, values } = open(8, { maxRecords: 3 })
    await take()
    const resolved: number[] = []
    await work(8, { resolve: (next) => resolved.push(next) })
    expect(calls.slice(1)).to.deep.equal(['batch 0 to 2', 'batch 3 to 5', 'batch 6 to 7', 'committed 8'])
    expect(broker.log.filter((step) => step === 'commit')).to.have.length(1)
    expect([values(), broker.committed.get(0), resolved]).to.deep.equal([numbers(0, 8), 8, [8]])
  })

  it('begins no further slice when paused, and commits those that are done', async () => {
    const { broker, calls, take, work, values } = open(8, { maxRecords: 3 })
    await take()
    await work(8, {}, () => calls.length > 1)
    expect([values(), broker.committed.get(0)]).to.deep.equal([numbers(0, 3), 3])
  })

  it('leaves nothing of a batch on the signal of its partition', async () => {
    const { lane, take, work } = open(8)
    await take()
    const before = getEventListeners(lane.signal, 'abort').length
    for (let i = 0; i < 8; i++) await work(1)
    expect(getEventListeners(lane.signal, 'abort')).to.have.length(before)
  })

  it('leaves aside what it has handled already', async () => {
    const { broker, lane, take, values } = open(8)
    broker.committed.set(0, 5)
    await take()
    const records = broker.recordsOf(0, 0, 8)
    await lane.work({ ...of, records, highWatermark: 8 }, controlOf(8), goingOn(lane))
    expect(values()).to.deep.equal(numbers(5, 8))
  })

  it('commits the end of a fetch without records', async () => {
    const { broker, lane, take } = open(0)
    await take()
    await lane.work({ ...of, records: [], highWatermark: 7 }, controlOf(7), goingOn(lane))
    expect([lane.next, broker.committed.get(0)]).to.deep.equal([7, 7])
  })

  it('has a problem while its log cannot be read, tells it once, and goes on behind it', async () => {
    const errors: object[] = []
    const silent = (): void => {}
    const log = { debug: silent, info: silent, warn: silent, error: (fields: object) => void errors.push(fields) }
    const { broker, lane, take, work, values } = open(4, { log })
    await take()
    const problem = 'Cannot read the record batch of events-0 at offset 0'
    const batch = { ...of, records: [], highWatermark: 9, problem }
    for (let i = 0; i < 2; i++) await lane.work(batch, controlOf(0), goingOn(lane))
    expect([lane.problem, lane.lag]).to.deep.equal([{ part: 'kafka', message: problem }, 9])
    expect([errors, broker.committed.get(0)]).to.deep.equal([[{ ...of, error: problem }], 0])
    lane.skipTo(2)
    await work(2)
    expect([lane.problem, values()]).to.deep.equal([undefined, ['2', '3']])
  })

  it('promotes a commit whose answer was lost, once, when the committed offset says so', async () => {
    const { lane, calls, take, work, values, failNext } = open(4)
    await take()
    failNext('commit', refused(), true)
    await work(4)
    expect(calls.slice(1)).to.deep.equal(['batch 0 to 3', 'committed 4', 'seek 4'])
    expect([lane.next, values()]).to.deep.equal([4, numbers(0, 4)])
  })

  it('drops a commit that failed, when the committed offset says so, and does it again', async () => {
    const { calls, take, work, values, failNext } = open(4)
    await take()
    failNext('commit', refused())
    await work(4)
    expect(calls.slice(1)).to.deep.equal(['batch 0 to 3', 'dropped', 'seek 0'])
    await work(4)
    expect(values()).to.deep.equal(numbers(0, 4))
  })

  it('keeps what is staged as long as the fate of its commit is unknown', async () => {
    const { broker, calls, take, work } = open(4)
    await take()
    let failures = 0
    broker.fault = (step) => {
      if (step === 'commit') return { error: refused(), isLost: true }
      if (step === 'committedOffsets' && ++failures < 4) return { error: refused() }
      return undefined
    }
    await work(4)
    expect(failures).to.equal(4)
    expect(calls.slice(1)).to.deep.equal(['batch 0 to 3', 'committed 4', 'seek 4'])
  })

  for (const step of ['begin', 'send', 'sendOffsets'] as const) {
    it(`drops what it staged when ${step} fails, with an answer or without one, and does it again`, async () => {
      for (const isLost of [false, true]) {
        const { calls, take, work, values, failNext } = open(4)
        await take()
        failNext(step, refused(), isLost)
        await work(4)
        expect(calls.slice(1)).to.deep.equal(['batch 0 to 3', 'dropped', 'seek 0'])
        await work(4)
        expect(values()).to.deep.equal(numbers(0, 4))
      }
    })
  }

  it('drops what it staged when it is fenced, and asks to join anew', async () => {
    const { broker, calls, take, work, values } = open(4)
    await take()
    broker.fence('group/events/0')
    let thrown: unknown
    await work(4).catch((error: unknown) => {
      thrown = error
    })
    expect(thrown).to.include({ failure: 'Rejoin' })
    expect(calls.at(-1)).to.equal('dropped')
    await work(4)
    expect(values()).to.deep.equal([])
  })

  it('does not go back behind what was acknowledged, even where the broker has forgotten it', async () => {
    const { broker, lane, take, work } = open(8)
    await take()
    await work(4)
    broker.committed.set(0, 0)
    await take()
    expect(lane.next).to.equal(4)
  })

  it('waits the longer the more often a server fails the handler, says so, and is well when it does not', async () => {
    let failures = 0
    const { broker, lane, calls, take, work } = open(4, {
      handler: {
        batch: async () => {
          if (++failures < 4) throw new AppError('Unavailable', 'no idea', { server: 'inference' })
          return []
        },
      },
    })
    await take()
    const times: number[] = []
    for (let i = 0; i < 3; i++) {
      await work(4)
      times.push(broker.clock.monotonic())
    }
    expect(lane.problem).to.deep.equal({ part: 'inference', message: 'no idea' })
    expect(times[0]).to.equal(0)
    expect(times[2]! - times[1]!).to.be.greaterThan(0)
    expect(calls.slice(1)).to.deep.equal(['dropped', 'seek 0', 'dropped', 'seek 0', 'dropped', 'seek 0'])
    await work(4)
    expect([lane.problem, calls.at(-1)]).to.deep.equal([undefined, 'committed 4'])
  })

  it('drops what is in work when it is aborted', async () => {
    const { lane, calls, take, work } = open(4, {
      handler: {
        batch: async (): Promise<readonly OutgoingRecord[]> => {
          lane.abort()
          return []
        },
      },
    })
    await take()
    await work(4)
    expect(calls.slice(1)).to.deep.equal(['dropped', 'seek 0'])
  })

  it('sends less at once when the broker refuses it as too large', async () => {
    const { broker, take, work, values } = open(8, { maxSendBytes: 300 })
    await take()
    broker.fault = (step) => (step === 'send' && broker.log.at(-1) !== 'send 1' ? { error: tooLarge() } : undefined)
    for (let i = 0; i < 8 && values().length < 8; i++) await work(8)
    expect(values()).to.deep.equal(numbers(0, 8))
  })

  it('drops a commit of unknown fate when the partition is lost', async () => {
    const { broker, lane, calls, take, work } = open(4)
    await take()
    broker.fault = (step) => {
      if (step === 'committedOffsets') lane.abort()
      return step === 'commit' || step === 'committedOffsets' ? { error: refused(), isLost: true } : undefined
    }
    await work(4)
    lane.discard()
    expect(calls.at(-1)).to.equal('dropped')
  })
})

import { expect } from 'chai'
import { type ProducerParts, sendMessages } from './send-messages.ts'

interface Produced {
  readonly topicData: readonly {
    readonly partitions: readonly {
      readonly partition: number
      readonly firstSequence: number
      readonly messages: readonly { readonly value: unknown }[]
    }[]
  }[]
}

class NotLoaded extends Error {
  override name = 'KafkaJSMetadataNotLoaded'
}
const refused = (type: string): Error =>
  Object.assign(new Error(type), { name: 'KafkaJSProtocolError', type, retriable: true })
const lost = (): Error =>
  Object.assign(new Error('closed'), { name: 'KafkaJSConnectionClosedError', host: 'h', port: 1 })

type Fault = (nodeId: number, attempt: number) => 'None' | 'Lost' | 'ReplyLost' | 'Slow'

/** Brokers that lead partitions, take each number of a sequence once, and fail as they are told. */
function clusterOf(leaders: number[], fault: Fault) {
  const logs = leaders.map((): unknown[] => [])
  let attempt = 0
  let known = [...leaders]
  const produce = async (nodeId: number, { topicData }: Produced): Promise<void> => {
    const what = fault(nodeId, attempt)
    if (what === 'Lost') throw lost()
    if (what === 'Slow') await new Promise((resolve) => setImmediate(resolve))
    const partitions = topicData.flatMap((topic) => topic.partitions)
    let error: Error | undefined
    for (const { partition, firstSequence, messages } of partitions) {
      const log = logs[partition]!
      if (leaders[partition] !== nodeId) error = refused('NOT_LEADER_FOR_PARTITION')
      else if (firstSequence > log.length) throw refused('OUT_OF_ORDER_SEQUENCE_NUMBER')
      else if (firstSequence === log.length) log.push(...messages.map(({ value }) => value))
    }
    if (error !== undefined) throw error
    if (what === 'ReplyLost') throw lost()
  }
  const sequences = new Map<number, number>()
  const parts: ProducerParts = {
    cluster: {
      addMultipleTargetTopics: async () => {},
      refreshMetadataIfNecessary: async () => {},
      refreshMetadata: async () => {
        known = [...leaders]
      },
      findTopicPartitionMetadata: () => known.map((leader, partitionId) => ({ partitionId, leader })),
      findBroker: async ({ nodeId }) => ({ produce: (request) => produce(Number(nodeId), request as Produced) }),
      removeBroker: () => {},
      isConnected: () => true,
      connect: async () => {},
    },
    eosManager: {
      isTransactional: () => false,
      getTransactionalId: () => '',
      getProducerId: () => 1,
      getProducerEpoch: () => 0,
      getSequence: (_, partition) => sequences.get(partition) ?? 0,
      updateSequence: (_, partition, by) => void sequences.set(partition, (sequences.get(partition) ?? 0) + by),
      addPartitionsToTransaction: async () => {},
    },
    partitioner: ({ message }) => Number(message.key),
    retrier: (work) =>
      new Promise((resolve, reject) => {
        attempt = 0
        const next = (): void => {
          attempt++
          work(reject).then(resolve, attempt < 50 ? next : reject)
        }
        next()
      }),
  }
  const send = (values: readonly [partition: number, value: string][]): Promise<void> => {
    const messages = values.map(([partition, value]) => ({ key: partition, value }))
    return sendMessages(parts, NotLoaded)({ acks: -1, topicMessages: [{ topic: 't', messages }] })
  }
  return { send, logs, leaders, sequences, lose: (count: number) => known.splice(count) }
}

describe('sendMessages', () => {
  it('sends what a broker did not take to the next leader, though that one has answered already', async () => {
    const cluster = clusterOf([0, 1], (nodeId) => {
      if (nodeId === 0) return 'None'
      cluster.leaders[1] = 0
      return 'Lost'
    })
    await cluster.send([
      [0, 'a'],
      [1, 'b'],
    ])
    expect(cluster.logs).to.deep.equal([['a'], ['b']])
  })

  it('repeats nothing that another broker was still at work on, nor what moved after it was acknowledged', async () => {
    const cluster = clusterOf([0, 1], (nodeId, attempt) => {
      if (nodeId === 0) return 'Slow'
      if (attempt > 1) return 'None'
      cluster.leaders[0] = 1
      return 'Lost'
    })
    await cluster.send([
      [0, 'a'],
      [1, 'b'],
    ])
    expect(cluster.logs).to.deep.equal([['a'], ['b']])
  })

  it('resolves for what each partition has once and in order, whatever brokers lose and wherever leaders move', async () => {
    let state = 1
    const below = (n: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
      return (state >>> 8) % n
    }
    for (let run = 0; run < 300; run++) {
      const faults = ['None', 'None', 'Lost', 'ReplyLost', 'Slow'] as const
      const cluster = clusterOf([0, 1, 2, 0, 1], () => {
        if (below(3) === 0) cluster.leaders[below(5)] = below(3)
        return faults[below(faults.length)]!
      })
      const expected: string[][] = [[], [], [], [], []]
      for (let i = 0; i < 10; i++) {
        const values = Array.from({ length: below(8) + 1 }, (_, j): [number, string] => [below(5), `${i}-${j}`])
        for (const [partition, value] of values) expected[partition]!.push(value)
        await cluster.send(values)
      }
      expect(cluster.logs).to.deep.equal(expected)
    }
  })

  it('drops no record of a partition that is not known yet', async () => {
    const cluster = clusterOf([0, 0], () => 'None')
    cluster.lose(1)
    await cluster.send([
      [0, 'a'],
      [1, 'b'],
    ])
    expect(cluster.logs).to.deep.equal([['a'], ['b']])
  })

  it('begins the numbers anew after 2^31', async () => {
    const cluster = clusterOf([0], () => 'None')
    cluster.sequences.set(0, 2 ** 31 - 2)
    await cluster.send([0, 1, 2].map((i) => [0, String(i)])).catch(() => {})
    expect(cluster.sequences.get(0)).to.equal(1)
  })
})

import type { Message } from './encoder.ts'

/** kafkajs' cluster, as far as a producer uses it. */
export interface ProducingCluster {
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>
  refreshMetadataIfNecessary(): Promise<void>
  refreshMetadata(): Promise<void>
  findTopicPartitionMetadata(topic: string): readonly { readonly partitionId: number; readonly leader: number }[]
  findBroker(of: { readonly nodeId: string }): Promise<ProducingBroker>
  removeBroker(of: { readonly host?: string; readonly port?: number }): void
  isConnected(): boolean
  connect(): Promise<void>
}

interface ProducingBroker {
  /** Rejects where one of the partitions was refused. */
  produce(request: object): Promise<unknown>
}

/** kafkajs' keeper of a producer's id and of its sequence numbers. */
export interface EosManager {
  isTransactional(): boolean
  getTransactionalId(): string
  getProducerId(): unknown
  getProducerEpoch(): number
  getSequence(topic: string, partition: number): number
  updateSequence(topic: string, partition: number, increment: number): void
  addPartitionsToTransaction(topics: readonly TopicParts[]): Promise<void>
}

export interface ProducerParts {
  readonly cluster: ProducingCluster
  readonly eosManager: EosManager
  readonly partitioner: (of: {
    readonly topic: string
    readonly partitionMetadata: readonly object[]
    readonly message: Message
  }) => number
  readonly retrier: <T>(attempt: (bail: (error: unknown) => void) => Promise<T>) => Promise<T>
}

export interface SendRequest {
  readonly acks: number
  readonly timeout?: number
  readonly compression?: number
  readonly topicMessages: readonly { readonly topic: string; readonly messages: readonly Message[] }[]
}

interface TopicParts {
  readonly topic: string
  readonly partitions: readonly Part[]
}

/** The messages of a partition: one batch, with the same sequence number however often it is sent. */
interface Part {
  readonly topic: string
  readonly partition: number
  readonly messages: Message[]
  firstSequence: number
  isAcknowledged: boolean
}

/** What kafkajs throws. */
interface Thrown extends Error {
  readonly retriable?: boolean
  readonly type?: string
  readonly host?: string
  readonly port?: number
}

const sequences = 2 ** 31
const staleMetadata = new Set(['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE', 'NOT_LEADER_FOR_PARTITION'])
const staleConnection = new Set(['KafkaJSMetadataNotLoaded', 'KafkaJSConnectionError', 'KafkaJSConnectionClosedError'])

/**
 * In the place of kafkajs' own. That one remembers which broker has answered, not which partition: what it repeats for a
 * partition is never sent where its new leader is a broker that has answered already, though the send resolves, and it is
 * sent under a new number, so that it stands twice, where another broker is still at work when the first has failed. Here
 * each partition is sent until it is acknowledged, to whoever leads it, under one number, and nothing is repeated before
 * all have answered. After a send that failed the numbers go on: the broker refuses what would follow.
 */
export function sendMessages({ cluster, eosManager, partitioner, retrier }: ProducerParts, NotLoaded: ErrorClass) {
  function partsOf({ topicMessages }: SendRequest): Part[] {
    return topicMessages.flatMap(({ topic, messages }) => {
      const partitionMetadata = cluster.findTopicPartitionMetadata(topic)
      if (partitionMetadata.length === 0) throw new NotLoaded(`No partition of ${topic} is known`)
      const parts = new Map<number, Part>()
      for (const message of messages) {
        const partition = partitioner({ topic, partitionMetadata, message })
        const part = parts.get(partition)
        if (part === undefined) {
          parts.set(partition, { topic, partition, messages: [message], firstSequence: 0, isAcknowledged: false })
        } else part.messages.push(message)
      }
      return [...parts.values()]
    })
  }

  function number(parts: readonly Part[]): void {
    for (const part of parts) {
      const { topic, partition, messages } = part
      const first = eosManager.getSequence(topic, partition)
      part.firstSequence = first
      eosManager.updateSequence(topic, partition, ((first + messages.length) % sequences) - first)
    }
  }

  function byLeader(parts: readonly Part[]): Map<number, Part[]> {
    const leaders = new Map<number, Part[]>()
    for (const part of parts) {
      const { topic, partition } = part
      const known = cluster.findTopicPartitionMetadata(topic).find(({ partitionId }) => partitionId === partition)
      if (known === undefined) throw new NotLoaded(`Partition ${partition} of ${topic} is not known`)
      const led = leaders.get(known.leader)
      if (led === undefined) leaders.set(known.leader, [part])
      else led.push(part)
    }
    return leaders
  }

  async function produce(nodeId: number, parts: readonly Part[], request: SendRequest): Promise<void> {
    const { acks, timeout, compression } = request
    const broker = await cluster.findBroker({ nodeId: String(nodeId) })
    await broker.produce({
      transactionalId: eosManager.isTransactional() ? eosManager.getTransactionalId() : undefined,
      producerId: eosManager.getProducerId(),
      producerEpoch: eosManager.getProducerEpoch(),
      acks,
      timeout,
      compression,
      topicData: byTopic(parts),
    })
    for (const part of parts) part.isAcknowledged = true
  }

  async function recover(thrown: unknown, bail: (error: unknown) => void): Promise<never> {
    const error = thrown as Thrown
    if (error.name === 'KafkaJSConnectionClosedError') cluster.removeBroker(error)
    if (!cluster.isConnected()) {
      await cluster.connect()
      await cluster.refreshMetadata()
    } else if (
      staleMetadata.has(error.type ?? '') ||
      staleConnection.has(error.name) ||
      (error.name === 'KafkaJSProtocolError' && error.retriable)
    ) {
      await cluster.refreshMetadata()
    } else if (!error.retriable) bail(error)
    throw error
  }

  return async (request: SendRequest): Promise<void> => {
    let parts: readonly Part[] | undefined
    return retrier(async (bail) => {
      await cluster.addMultipleTargetTopics(request.topicMessages.map(({ topic }) => topic))
      try {
        await cluster.refreshMetadataIfNecessary()
        if (parts === undefined) {
          parts = partsOf(request)
          number(parts)
        }
        const left = parts.filter(({ isAcknowledged }) => !isAcknowledged)
        const leaders = byLeader(left)
        if (eosManager.isTransactional()) await eosManager.addPartitionsToTransaction(byTopic(left))
        const sent = Array.from(leaders, ([nodeId, led]) => produce(nodeId, led, request))
        const settled = await Promise.allSettled(sent)
        for (const one of settled) if (one.status === 'rejected') throw one.reason
      } catch (error) {
        await recover(error, bail)
      }
    })
  }
}

type ErrorClass = new (message: string) => Error

function byTopic(parts: readonly Part[]): TopicParts[] {
  return Array.from(
    Map.groupBy(parts, ({ topic }) => topic),
    ([topic, partitions]) => ({ topic, partitions }),
  )
}

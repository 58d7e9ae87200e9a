import type { Membership } from './consumer-group-hooks.ts'
import {
  noTags,
  type ReplyReader,
  type ReplyReaderClass,
  type RequestEncoder,
  type RequestEncoderClass,
  type RequestVersions,
  readArray,
  skipTags,
  withVersion,
  writeArray,
} from './flexible-request.ts'

/** Offsets of a transaction as kafkajs passes them on, with what its own request has no room for. */
export interface TransactionOffsets extends Array<TopicOffsets> {
  /** Who commits; absent where nobody is a member. */
  membership?: Membership | undefined
  /** How often they were sent. */
  attempts?: number
}

interface TopicOffsets {
  readonly topic: string
  readonly partitions: readonly {
    readonly partition: number
    readonly offset: string
    readonly metadata?: string | undefined
  }[]
}

interface TxnOffsetCommit {
  readonly transactionalId: string
  readonly groupId: string
  readonly producerId: string | number
  readonly producerEpoch: number
  readonly topics: TransactionOffsets
}

/**
 * Version 3: says which member of which generation commits, so that the coordinator refuses what is late, also where the
 * transactional id fences nobody yet.
 */
export function withMembership(
  stock: RequestVersions<TxnOffsetCommit>,
  Encoder: RequestEncoderClass,
  Decoder: ReplyReaderClass,
): RequestVersions<TxnOffsetCommit> {
  const { response } = stock.protocol({ version: 1 })({
    transactionalId: '',
    groupId: '',
    producerId: 0,
    producerEpoch: 0,
    topics: [],
  })
  return withVersion(stock, 3, (request) => ({
    request: { apiKey: 28, apiVersion: 3, apiName: 'TxnOffsetCommit', encode: async () => encode(request, Encoder) },
    response: { decode: async (bytes) => decode(new Decoder(bytes)), parse: response.parse },
  }))
}

function encode(request: TxnOffsetCommit, Encoder: RequestEncoderClass): RequestEncoder {
  const { transactionalId, groupId, producerId, producerEpoch, topics } = request
  const { membership } = topics
  topics.attempts = (topics.attempts ?? 0) + 1
  const encoder = new Encoder()
    .writeUVarInt(noTags)
    .writeUVarIntString(transactionalId)
    .writeUVarIntString(groupId)
    .writeInt64(producerId)
    .writeInt16(producerEpoch)
    .writeInt32(membership?.generationId ?? -1)
    .writeUVarIntString(membership?.memberId ?? '')
    .writeUVarIntString(null)
  writeArray(encoder, topics, ({ topic, partitions }) => {
    encoder.writeUVarIntString(topic)
    writeArray(encoder, partitions, ({ partition, offset, metadata = '' }) => {
      encoder.writeInt32(partition).writeInt64(offset).writeInt32(-1).writeUVarIntString(metadata).writeUVarInt(noTags)
    })
    encoder.writeUVarInt(noTags)
  })
  return encoder.writeUVarInt(noTags)
}

function decode(reader: ReplyReader): unknown {
  skipTags(reader)
  const clientSideThrottleTime = reader.readInt32()
  const topics = readArray(reader, () => {
    const topic = reader.readUVarIntString()
    const partitions = readArray(reader, () => {
      const one = { partition: reader.readInt32(), errorCode: reader.readInt16() }
      skipTags(reader)
      return one
    })
    skipTags(reader)
    return { topic, partitions }
  })
  return { throttleTime: 0, clientSideThrottleTime, topics }
}

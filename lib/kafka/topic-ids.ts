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

interface MetadataRequest {
  readonly topics: readonly string[]
  readonly allowAutoTopicCreation?: boolean
}

/** Of a topic that is deleted and made anew, the id is another one. */
export interface IdentifiedTopic {
  readonly topic: string
  readonly topicId?: string | undefined
}

/** Version 12 of Metadata, which says the ids of topics; Kafka 3.1 and later. */
export function withTopicIds(
  stock: RequestVersions<MetadataRequest>,
  Encoder: RequestEncoderClass,
  Decoder: ReplyReaderClass,
): RequestVersions<MetadataRequest> {
  const { response } = stock.protocol({ version: 6 })({ topics: [] })
  return withVersion(stock, 12, (request) => ({
    request: { apiKey: 3, apiVersion: 12, apiName: 'Metadata', encode: async () => encode(request, Encoder) },
    response: { decode: async (bytes) => decode(new Decoder(bytes)), parse: response.parse },
  }))
}

const noId = Buffer.alloc(16)

function encode(
  { topics, allowAutoTopicCreation = true }: MetadataRequest,
  Encoder: RequestEncoderClass,
): RequestEncoder {
  const encoder = new Encoder().writeUVarInt(noTags)
  // all topics are asked for with null, none with an empty list
  if (topics.length === 0) encoder.writeUVarInt(0)
  else {
    writeArray(encoder, topics, (topic) => encoder.writeBuffer(noId).writeUVarIntString(topic).writeUVarInt(noTags))
  }
  return encoder.writeBoolean(allowAutoTopicCreation).writeBoolean(false).writeUVarInt(noTags)
}

function decode(reader: ReplyReader): unknown {
  skipTags(reader)
  const clientSideThrottleTime = reader.readInt32()
  const brokers = readArray(reader, () => {
    const broker = {
      nodeId: reader.readInt32(),
      host: reader.readUVarIntString(),
      port: reader.readInt32(),
      rack: reader.readUVarIntString(),
    }
    skipTags(reader)
    return broker
  })
  const clusterId = reader.readUVarIntString()
  const controllerId = reader.readInt32()
  const topicMetadata = readArray(reader, () => {
    const topicErrorCode = reader.readInt16()
    const topic = reader.readUVarIntString()
    const topicId = reader.readBytes(16).toString('base64url')
    const isInternal = reader.readBoolean()
    const partitionMetadata = readArray(reader, () => partitionOf(reader))
    reader.readInt32()
    skipTags(reader)
    return { topicErrorCode, topic, topicId, isInternal, partitionMetadata }
  })
  return { throttleTime: 0, clientSideThrottleTime, brokers, clusterId, controllerId, topicMetadata }
}

function partitionOf(reader: ReplyReader): unknown {
  const nodes = (): number[] => readArray(reader, () => reader.readInt32())
  const partitionErrorCode = reader.readInt16()
  const partitionId = reader.readInt32()
  const leader = reader.readInt32()
  reader.readInt32()
  const partition = {
    partitionErrorCode,
    partitionId,
    leader,
    replicas: nodes(),
    isr: nodes(),
    offlineReplicas: nodes(),
  }
  skipTags(reader)
  return partition
}

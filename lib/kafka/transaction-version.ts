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
} from './flexible-request.ts'

const endTxnKey = 26
/** The first whose reply says under which epoch the producer goes on. */
const bumpingVersion = 5
const finalizedFeaturesTag = 2

/**
 * Version 3 of ApiVersions, which says what the cluster has agreed on. A broker knows EndTxn 5 before the cluster has
 * transactions version 2, and must not be sent it then.
 */
export function withFeatures(
  stock: RequestVersions<void>,
  Encoder: RequestEncoderClass,
  Decoder: ReplyReaderClass,
): RequestVersions<void> {
  const { response } = stock.protocol({ version: 0 })()
  const encode = async (): Promise<RequestEncoder> =>
    new Encoder().writeUVarInt(noTags).writeUVarIntString('anomaly').writeUVarIntString('1').writeUVarInt(noTags)
  return withVersion(stock, 3, () => ({
    request: { apiKey: 18, apiVersion: 3, apiName: 'ApiVersions', encode },
    response: {
      // A broker that does not know this version answers in the oldest one, and any answers with the oldest header.
      decode: async (bytes) =>
        bytes.readInt16BE(0) === 0 ? decodeVersions(new Decoder(bytes)) : response.decode(bytes),
      parse: response.parse,
    },
  }))
}

function decodeVersions(reader: ReplyReader): unknown {
  const errorCode = reader.readInt16()
  const versions = readArray(reader, () => {
    const one = { apiKey: reader.readInt16(), minVersion: reader.readInt16(), maxVersion: reader.readInt16() }
    skipTags(reader)
    return one
  })
  if (versions.length === 0) throw new RangeError('it has no versions')
  const clientSideThrottleTime = reader.readInt32()
  let transactionVersion = 0
  for (let count = reader.readUVarInt(); count > 0; count--) {
    const tag = reader.readUVarInt()
    const length = reader.readUVarInt()
    if (tag !== finalizedFeaturesTag) {
      reader.readBytes(length)
      continue
    }
    readArray(reader, () => {
      const name = reader.readUVarIntString()
      const level = reader.readInt16()
      reader.readInt16()
      skipTags(reader)
      if (name === 'transaction.version') transactionVersion = level
    })
  }
  const apiVersions = versions.map((one) => {
    const isEarly = one.apiKey === endTxnKey && transactionVersion < 2
    return isEarly ? { ...one, maxVersion: Math.min(one.maxVersion, bumpingVersion - 1) } : one
  })
  return { errorCode, throttleTime: 0, clientSideThrottleTime, apiVersions }
}

interface EndTxn {
  readonly transactionalId: string
  readonly producerId: string | number
  readonly producerEpoch: number
  readonly transactionResult: boolean
}

/** Under which number and epoch a producer writes. */
interface Identity {
  readonly producerId: string
  readonly producerEpoch: number
}

/** Version 5 of EndTxn: with it each transaction has an epoch of its own, and what comes late from one is refused. KIP-890 */
export function withEpochs(
  stock: RequestVersions<EndTxn>,
  Encoder: RequestEncoderClass,
  Decoder: ReplyReaderClass,
): RequestVersions<EndTxn> {
  const { response } = stock.protocol({ version: 1 })({
    transactionalId: '',
    producerId: 0,
    producerEpoch: 0,
    transactionResult: true,
  })
  return withVersion(stock, bumpingVersion, (request) => ({
    request: {
      apiKey: endTxnKey,
      apiVersion: bumpingVersion,
      apiName: 'EndTxn',
      encode: async () =>
        new Encoder()
          .writeUVarInt(noTags)
          .writeUVarIntString(request.transactionalId)
          .writeInt64(request.producerId)
          .writeInt16(request.producerEpoch)
          .writeBoolean(request.transactionResult)
          .writeUVarInt(noTags),
    },
    response: {
      decode: async (bytes) => {
        const reader = new Decoder(bytes)
        skipTags(reader)
        return {
          throttleTime: 0,
          clientSideThrottleTime: reader.readInt32(),
          errorCode: reader.readInt16(),
          producerId: String(reader.readInt64()),
          producerEpoch: reader.readInt16(),
        }
      },
      parse: response.parse,
    },
  }))
}

interface Coordinator {
  endTxn(request: unknown): Promise<Partial<Identity>>
  initProducerId(request: unknown): Promise<Identity>
}
interface Cluster {
  findGroupCoordinator(of: { readonly coordinatorType: number }): Promise<Coordinator>
  refreshMetadataIfNecessary(): Promise<void>
}
interface Manager {
  initProducerId(): Promise<void>
  commit(): Promise<void>
  abort(): Promise<void>
}
type ManagerMaker = (options: { readonly cluster: Cluster }) => Manager

const transactionCoordinator = 1

/**
 * Wraps kafkajs' maker of what keeps a producer's identity. It takes another one only where it initialises: after each
 * transaction it does so, and what the coordinator would answer is what it has answered to the transaction's end.
 */
export function followingEpochs(stock: ManagerMaker): ManagerMaker {
  return (options) => {
    let next: Identity | undefined
    const { cluster } = options
    const watched = (broker: Coordinator): Coordinator =>
      Object.assign(Object.create(broker), {
        async endTxn(request: unknown) {
          const { producerId, producerEpoch } = await broker.endTxn(request)
          if (producerId !== undefined && producerEpoch !== undefined) next = { producerId, producerEpoch }
        },
      })
    const answering = { initProducerId: async () => next } as Partial<Coordinator> as Coordinator
    const findGroupCoordinator: Cluster['findGroupCoordinator'] = async (of) => {
      if (of.coordinatorType !== transactionCoordinator) return cluster.findGroupCoordinator(of)
      return next === undefined ? watched(await cluster.findGroupCoordinator(of)) : answering
    }
    const refreshMetadataIfNecessary = async (): Promise<void> => {
      if (next === undefined) await cluster.refreshMetadataIfNecessary()
    }
    const manager = stock({
      ...options,
      cluster: Object.assign(Object.create(cluster), { findGroupCoordinator, refreshMetadataIfNecessary }),
    })
    const ending = (end: () => Promise<void>) => async (): Promise<void> => {
      await end()
      if (next === undefined) return
      await manager.initProducerId()
      next = undefined
    }
    return { ...manager, commit: ending(manager.commit), abort: ending(manager.abort) }
  }
}

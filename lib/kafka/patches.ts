import { type PoolBuilder, withAddresses } from './addresses.ts'
import { checkLengths, type ReplyDecoder } from './checked-decoder.ts'
import { type ConsumerGroup, hookConsumerGroup } from './consumer-group-hooks.ts'
import { type EncoderClass, type ProduceProtocol, withOneBuffer } from './encoder.ts'
import { type FetchingBroker, readingRecords, withRawRecords } from './fetch.ts'
import { FetchedBatch } from './fetched-batch.ts'
import type { ReplyReaderClass, RequestEncoderClass, RequestVersions } from './flexible-request.ts'
import { type Connection, checkFrames } from './frames.ts'
import { type ProducerParts, sendMessages } from './send-messages.ts'
import { withTopicIds } from './topic-ids.ts'
import { followingEpochs, withEpochs, withFeatures } from './transaction-version.ts'
import { withMembership } from './txn-offset-commit.ts'

/** The only version of kafkajs whose inside this file knows; any other runs as it is. */
const knownVersion = '2.2.4'

interface RequestQueue {
  readonly pending: readonly unknown[]
  readonly inflight: Map<number, { readonly sentAt: number; readonly requestTimeout: number; timeoutRequest(): void }>
  readonly enforceRequestTimeout: boolean
  requestTimeoutIntervalId?: NodeJS.Timeout
  isConnected(): boolean
  destroy(): void
  scheduleCheckPendingRequests(): void
  scheduleRequestTimeoutCheck(): void
}

interface Broker {
  isConnected(): boolean
}
interface Coordinator {
  readonly groupId: string
  readonly coordinatorType?: number
}
interface Cluster {
  findGroupCoordinator(of: Coordinator): Promise<Broker>
}

interface KafkajsErrors {
  readonly KafkaJSMetadataNotLoaded: Parameters<typeof sendMessages>[1]
  readonly KafkaJSError: Parameters<typeof checkFrames>[2]
  readonly KafkaJSConnectionClosedError: Parameters<typeof checkFrames>[1]
}

const coordinatorTtlMs = 1000
const requestTimeoutCheckMs = 1000

/**
 * Makes kafkajs cheap and exact from outside: sends each partition until it is acknowledged, writes a produce request into
 * one buffer, checks replies before it reads them, reads fetched records as Kafka's own consumer does, keeps no timer while
 * nothing waits, remembers a coordinator for a second and asks before each join. To be called before kafkajs is loaded for
 * the first time. False, and nothing changed, if kafkajs is of another version or loaded already.
 */
export function patchKafkajs(require: NodeJS.Require): boolean {
  const { version } = require('kafkajs/package.json') as { version: string }
  if (version !== knownVersion || require.cache[require.resolve('kafkajs')] !== undefined) return false

  const inside = (path: string): string => require.resolve(`kafkajs/src/${path}`)
  const replace = (path: string, exports: unknown): void => {
    require(inside(path))
    require.cache[inside(path)]!.exports = exports
  }
  const Encoder = require(inside('protocol/encoder')) as EncoderClass & RequestEncoderClass
  const produce = 'protocol/requests/produce/v3/request'
  replace(produce, withOneBuffer(require(inside(produce)) as ProduceProtocol, Encoder))
  const Decoder = require(inside('protocol/decoder')) as ReplyReaderClass & { prototype: ReplyDecoder }
  const extend = <R>(
    request: string,
    extended: (
      stock: RequestVersions<R>,
      encoder: RequestEncoderClass,
      decoder: ReplyReaderClass,
    ) => RequestVersions<R>,
  ): void => {
    const path = `protocol/requests/${request}`
    replace(path, extended(require(inside(path)) as RequestVersions<R>, Encoder, Decoder))
  }
  extend('apiVersions', withFeatures)
  extend('txnOffsetCommit', withMembership)
  extend('metadata', withTopicIds)
  extend('endTxn', withEpochs)
  const managers = 'producer/eosManager'
  replace(managers, followingEpochs(require(inside(managers)) as Parameters<typeof followingEpochs>[0]))
  const decode = 'protocol/requests/fetch/v4/decodeMessages'
  replace(decode, withRawRecords(require(inside(decode)) as Parameters<typeof withRawRecords>[0]))
  replace('consumer/batch', FetchedBatch)
  const pools = 'cluster/connectionPoolBuilder'
  replace(pools, withAddresses(require(inside(pools)) as PoolBuilder))
  checkLengths(Decoder.prototype)
  const errors = require(inside('errors')) as KafkajsErrors
  replace('producer/sendMessages', (parts: ProducerParts) => sendMessages(parts, errors.KafkaJSMetadataNotLoaded))
  const connection = (require(inside('network/connection')) as { prototype: Connection }).prototype
  checkFrames(connection, errors.KafkaJSConnectionClosedError, errors.KafkaJSError)
  const broker = (require(inside('broker')) as { prototype: FetchingBroker }).prototype
  broker.fetch = readingRecords(broker.fetch)
  const queue = (require(inside('network/requestQueue')) as { prototype: RequestQueue }).prototype
  queue.scheduleCheckPendingRequests = onlyWhilePending(queue.scheduleCheckPendingRequests)
  queue.scheduleRequestTimeoutCheck = checkRequestTimeouts
  const cluster = (require(inside('cluster')) as { prototype: Cluster }).prototype
  cluster.findGroupCoordinator = rememberingCoordinators(cluster.findGroupCoordinator)
  hookConsumerGroup((require(inside('consumer/consumerGroup')) as { prototype: ConsumerGroup }).prototype)
  return true
}

/** The stock timer re-arms itself with a negative delay for as long as the connection lives. */
function onlyWhilePending(stock: RequestQueue['scheduleCheckPendingRequests']) {
  return function (this: RequestQueue): void {
    if (this.pending.length > 0) stock.call(this)
  }
}

/** As the stock check, which looks ten times a second on each connection. */
function checkRequestTimeouts(this: RequestQueue): void {
  if (!this.enforceRequestTimeout) return
  this.destroy()
  this.requestTimeoutIntervalId = setInterval(() => {
    for (const request of [...this.inflight.values()]) {
      if (Date.now() - request.sentAt > request.requestTimeout) request.timeoutRequest()
    }
    if (!this.isConnected()) this.destroy()
  }, requestTimeoutCheckMs)
}

/** The stock client asks for the coordinator before each step of a transaction. */
function rememberingCoordinators(stock: Cluster['findGroupCoordinator']) {
  const caches = new WeakMap<Cluster, Map<string, { readonly broker: Broker; readonly until: number }>>()
  return async function (this: Cluster, of: Coordinator): Promise<Broker> {
    let known = caches.get(this)
    if (known === undefined) {
      known = new Map()
      caches.set(this, known)
    }
    const id = `${of.coordinatorType ?? 0} ${of.groupId}`
    const hit = known.get(id)
    if (hit !== undefined && performance.now() < hit.until && hit.broker.isConnected()) return hit.broker
    const broker = await stock.call(this, of)
    known.set(id, { broker, until: performance.now() + coordinatorTtlMs })
    return broker
  }
}

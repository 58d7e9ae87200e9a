import { createRequire } from 'node:module'
import { expect } from 'chai'
import type { ReplyReaderClass, RequestEncoderClass } from './flexible-request.ts'
import { followingEpochs, withEpochs, withFeatures } from './transaction-version.ts'

const require = createRequire(import.meta.url)
const Encoder = require('kafkajs/src/protocol/encoder') as RequestEncoderClass
const Decoder = require('kafkajs/src/protocol/decoder') as ReplyReaderClass
const apiVersions = require('kafkajs/src/protocol/requests/apiVersions') as Parameters<typeof withFeatures>[0]
const endTxn = require('kafkajs/src/protocol/requests/endTxn') as Parameters<typeof withEpochs>[0]

describe('ApiVersions', () => {
  const { response } = withFeatures(apiVersions, Encoder, Decoder).protocol({ version: 3 })()
  const name = (text: string): number[] => [text.length + 1, ...Buffer.from(text)]
  /** EndTxn from 0 to 5 and Fetch from 4 to 17, and the features on which the cluster has agreed. */
  const reply = (features: readonly (readonly [string, number])[]): Buffer => {
    const list = features.flatMap(([feature, level]) => [...name(feature), 0, level, 0, level, 0])
    const tagged = [features.length + 1, ...list]
    const epoch = [1, 8, 0, 0, 0, 0, 0, 0, 0, 7]
    const tags = features.length === 0 ? [1, ...epoch] : [2, ...epoch, 2, tagged.length, ...tagged]
    return Buffer.from([0, 0, 3, 0, 26, 0, 0, 0, 5, 0, 0, 1, 0, 4, 0, 17, 0, 0, 0, 0, 0, ...tags])
  }
  const newest = async (bytes: Buffer): Promise<unknown> => {
    const { apiVersions } = (await response.decode(bytes)) as {
      apiVersions: { apiKey: number; maxVersion: number }[]
    }
    return apiVersions.map(({ apiKey, maxVersion }) => [apiKey, maxVersion])
  }

  it('has the EndTxn that changes epochs only where the cluster has transactions version 2', async () => {
    for (const [features, version] of [
      [[['transaction.version', 2]], 5],
      [
        [
          ['metadata.version', 25],
          ['transaction.version', 2],
        ],
        5,
      ],
      [[['transaction.version', 1]], 4],
      [[['metadata.version', 25]], 4],
      [[], 4],
    ] as const) {
      expect(await newest(reply(features as readonly [string, number][]))).to.deep.equal([
        [26, version],
        [1, 17],
      ])
    }
  })

  it('is asked for in an older version of a broker that does not know this one', async () => {
    const error = await response.decode(Buffer.from([0, 35, 0, 0, 0, 0])).catch((thrown: unknown) => thrown)
    expect(error).to.have.property('type').equal('UNSUPPORTED_VERSION')
  })
})

describe('EndTxn', () => {
  const request = { transactionalId: 'id', producerId: '7', producerEpoch: 3, transactionResult: true }
  const of = (version: number) => withEpochs(endTxn, Encoder, Decoder).protocol({ version })(request)

  it('says in version 5 under which epoch the producer goes on', async () => {
    expect([of(4).request.apiVersion, of(5).request.apiVersion]).to.deep.equal([1, 5])
    const reply = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 4, 0])
    expect(await of(5).response.decode(reply)).to.deep.include({ errorCode: 0, producerId: '7', producerEpoch: 4 })
  })
})

describe('followingEpochs', () => {
  /** A manager as kafkajs makes it, on a cluster whose coordinator answers so to the end of a transaction. */
  function manager(answer: object) {
    const calls: string[] = []
    const cluster = {
      findGroupCoordinator: async () => ({
        endTxn: async () => answer as { producerEpoch?: number },
        initProducerId: async () => {
          calls.push('InitProducerId')
          return { producerId: '7', producerEpoch: 0 }
        },
      }),
      refreshMetadataIfNecessary: async () => void calls.push('Metadata'),
    }
    let identity: unknown
    const made = followingEpochs((options) => {
      const coordinator = () => options.cluster.findGroupCoordinator({ coordinatorType: 1 })
      const end = async () => void (await (await coordinator()).endTxn({}))
      const initProducerId = async () => {
        await options.cluster.refreshMetadataIfNecessary()
        identity = await (await coordinator()).initProducerId({})
      }
      return { initProducerId, commit: end, abort: end }
    })({ cluster })
    return { made, calls, identity: () => identity }
  }

  it('takes what the coordinator has answered to the end of a transaction, and asks nobody', async () => {
    const { made, calls, identity } = manager({ producerId: '8', producerEpoch: 0 })
    await made.initProducerId()
    for (const end of [made.commit, made.abort]) {
      await end()
      expect(identity()).to.deep.equal({ producerId: '8', producerEpoch: 0 })
    }
    expect(calls).to.deep.equal(['Metadata', 'InitProducerId'])
    await made.initProducerId()
    expect(calls).to.have.length(4)
  })

  it('goes on under the same epoch where the coordinator answers none', async () => {
    const { made, calls, identity } = manager({ errorCode: 0 })
    await made.initProducerId()
    await made.commit()
    expect(identity()).to.deep.equal({ producerId: '7', producerEpoch: 0 })
    expect(calls).to.deep.equal(['Metadata', 'InitProducerId'])
  })
})

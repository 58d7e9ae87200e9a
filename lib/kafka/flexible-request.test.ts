import { createRequire } from 'node:module'
import { expect } from 'chai'
import {
  type ReplyReaderClass,
  type RequestEncoderClass,
  type RequestVersions,
  withVersion,
} from './flexible-request.ts'
import { type TransactionOffsets, withMembership } from './txn-offset-commit.ts'

const require = createRequire(import.meta.url)
const Encoder = require('kafkajs/src/protocol/encoder') as RequestEncoderClass
const Decoder = require('kafkajs/src/protocol/decoder') as ReplyReaderClass
const stock = require('kafkajs/src/protocol/requests/txnOffsetCommit') as Parameters<typeof withMembership>[0]

describe('withVersion', () => {
  const named = (name: string): ReturnType<RequestVersions<object>['protocol']> => {
    return () => ({
      request: { apiKey: 0, apiVersion: 0, apiName: name, encode: async () => new Encoder() },
      response: {} as never,
    })
  }
  const both = withVersion({ versions: ['0', '1'], protocol: ({ version }) => named(`stock ${version}`) }, 3, () =>
    named('ours')({}),
  )

  it('takes the highest version that is known on both sides, also where the broker knows one between', () => {
    expect(both.versions).to.deep.equal(['0', '1', '3'])
    const taken = [0, 1, 2, 3].map((version) => both.protocol({ version })({}).request.apiName)
    expect(taken).to.deep.equal(['stock 0', 'stock 1', 'stock 1', 'ours'])
  })
})

describe('TxnOffsetCommit', () => {
  const topics: TransactionOffsets = [{ topic: 't', partitions: [{ partition: 2, offset: '5', metadata: 'm' }] }]
  const request = { transactionalId: 'id', groupId: 'g', producerId: '7', producerEpoch: 1, topics }
  const protocol = withMembership(stock, Encoder, Decoder).protocol({ version: 3 })(request)

  it('says which member of which generation commits, and counts how often it was sent', async () => {
    topics.membership = { memberId: 'me', generationId: 4 }
    const { buffer } = (await protocol.request.encode()) as unknown as { readonly buffer: Buffer }
    const expected = [
      ...['00', '036964', '0267', '0000000000000007', '0001', '00000004', '036d65', '00'],
      ...['02', '0274', '02', '00000002', '0000000000000005', 'ffffffff', '026d', '00', '00', '00'],
    ]
    expect(buffer.toString('hex')).to.equal(expected.join(''))
    await protocol.request.encode()
    expect(topics.attempts).to.equal(2)
  })

  it('reads the answer, and throws what is wrong with a partition', async () => {
    const reply = (code: string) => Buffer.from(`00000000000202740200000002${code}000000`, 'hex')
    expect(await protocol.response.parse((await protocol.response.decode(reply('0000'))) as never)).to.deep.include({
      topics: [{ topic: 't', partitions: [{ partition: 2, errorCode: 0 }] }],
    })
    const refused = await protocol.response.decode(reply('0016'))
    const error = await protocol.response.parse(refused as never).catch((thrown: unknown) => thrown)
    expect(error).to.include({ type: 'ILLEGAL_GENERATION' })
  })
})

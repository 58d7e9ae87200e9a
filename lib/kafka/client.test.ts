import { createRequire } from 'node:module'
import { expect } from 'chai'
import { isFenced, isTooLarge, type OutgoingRecord, sizeOf } from './client.ts'

const require = createRequire(import.meta.url)

describe('kafka', () => {
  it('never takes a record for smaller than it is on the wire', () => {
    const encode = require('kafkajs/src/protocol/recordBatch/record/v0') as (record: object) => { size(): number }
    const texts = ['', 'plain', 'zażółć 異常 🚨', 'x'.repeat(70_000)]
    const records: OutgoingRecord[] = texts.flatMap((text) => [
      { topic: 't', key: text, value: Buffer.from(text) },
      { topic: 't', key: null, value: text, headers: { [text]: text, several: [text, Buffer.from(text)] } },
    ])
    for (const record of records) {
      const onWire = encode({ ...record, offsetDelta: 2 ** 20, timestampDelta: 0 }).size()
      expect(sizeOf(record)).to.be.within(onWire, onWire + 70)
    }
  })

  it("finds Kafka's own error under those that wrap it", () => {
    const wrapped = (fields: object): Error =>
      new Error('retries exceeded', { cause: Object.assign(new Error('a'), fields) })
    expect(isFenced(wrapped({ type: 'INVALID_PRODUCER_EPOCH' }))).to.equal(true)
    expect(
      isFenced(Object.assign(new Error('Unknown error code 90'), { type: 'KAFKAJS_UNKNOWN_ERROR_CODE', code: -99 })),
    ).to.equal(true)
    expect(isFenced(wrapped({ type: 'NOT_COORDINATOR_FOR_GROUP' }))).to.equal(false)
    expect(isTooLarge(wrapped({ type: 'MESSAGE_TOO_LARGE' }))).to.equal(true)
    expect(isTooLarge(undefined)).to.equal(false)
  })
})

import { createRequire } from 'node:module'
import { expect } from 'chai'
import { type OutgoingRecord, sizeOf } from './records.ts'

const require = createRequire(import.meta.url)

describe('records', () => {
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
})

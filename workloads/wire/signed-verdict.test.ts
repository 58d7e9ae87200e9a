import { createSecretKey } from 'node:crypto'
import { expect } from 'chai'
import { type JudgedRecord, signVerdict, verifyVerdict } from './signed-verdict.ts'

const key = createSecretKey(Buffer.from('the signing key of one pipeline.'))
const other = createSecretKey(Buffer.from('the signing key of another one..'))
const record: JudgedRecord = {
  topic: 'events',
  key: 'alice',
  eventId: 'e-1',
  value: '{"eventId":"e-1","userId":"alice"}',
}
const verdict = '{"eventId":"e-1","isAnomaly":false}'
const headers = signVerdict(key, record, verdict)

describe('A signed verdict', () => {
  it('is believed with the record that it was given for, as strings or as the bytes that Kafka has', () => {
    expect(verifyVerdict(key, record, headers)).to.equal(verdict)
    const bytes = { ...record, key: Buffer.from('alice'), value: Buffer.from(String(record.value)) }
    const received = Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)]))
    expect(verifyVerdict(key, bytes, received)).to.equal(verdict)
  })

  it('is not believed unsigned, half signed or signed twice', () => {
    const text = String(headers['anomaly-verdict'])
    const signature = String(headers['anomaly-signature'])
    for (const changed of [
      {},
      { 'anomaly-verdict': text },
      { 'anomaly-signature': signature },
      { 'anomaly-verdict': text, 'anomaly-signature': '' },
      { 'anomaly-verdict': [text, text], 'anomaly-signature': signature },
      { 'anomaly-verdict': text, 'anomaly-signature': [signature, signature] },
    ])
      expect(verifyVerdict(key, record, changed), JSON.stringify(changed)).to.equal(undefined)
  })

  it('is not believed when it is forged', () => {
    expect(verifyVerdict(key, record, signVerdict(other, record, verdict)), 'another key').to.equal(undefined)
    const changed = { ...headers, 'anomaly-verdict': '{"eventId":"e-1","isAnomaly":true}' }
    expect(verifyVerdict(key, record, changed), 'another verdict').to.equal(undefined)
    const signature = String(headers['anomaly-signature'])
    for (const cut of [
      signature.slice(0, -2),
      `${signature}AA`,
      signature.replace(/^./, (c) => (c === 'A' ? 'B' : 'A')),
    ])
      expect(verifyVerdict(key, record, { ...headers, 'anomaly-signature': cut }), cut).to.equal(undefined)
  })

  it('is not believed with any other record', () => {
    const moved: Partial<JudgedRecord>[] = [
      { topic: 'results' },
      { key: 'bob' },
      { key: null },
      { eventId: 'e-2' },
      { value: '{"eventId":"e-1","userId":"alice" }' },
      { value: null },
      { topic: 'event', key: 'salice' },
      { key: 'alic', eventId: 'ee-1' },
    ]
    for (const change of moved)
      expect(verifyVerdict(key, { ...record, ...change }, headers), JSON.stringify(change)).to.equal(undefined)
  })

  it('tells a record without key from one with an empty key', () => {
    const keyless = { ...record, key: null }
    expect(verifyVerdict(key, keyless, signVerdict(key, keyless, verdict))).to.equal(verdict)
    expect(verifyVerdict(key, { ...record, key: '' }, signVerdict(key, keyless, verdict))).to.equal(undefined)
  })

  it('carries the id of an event that has none of its own', () => {
    const assigned = signVerdict(key, record, verdict, { isIdAssigned: true })
    const read = { ...record, eventId: 'events-0-17' }
    expect(verifyVerdict(key, read, assigned)).to.equal(verdict)
    expect(verifyVerdict(key, read, headers)).to.equal(undefined)
    expect(verifyVerdict(key, read, { ...assigned, 'anomaly-event-id': 'e-2' })).to.equal(undefined)
    expect(verifyVerdict(key, { ...read, value: '{}' }, assigned)).to.equal(undefined)
  })
})

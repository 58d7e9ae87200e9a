import { expect } from 'chai'
import { FeatureSchema } from '../detection/feature-schema.ts'
import { createDecode, type Decoded, type Origin } from './decode.ts'
import type { Envelope } from './envelope.ts'

const origin: Origin = { id: 'e-0-7', source: 'e', recordKey: undefined, arrival: 1, latest: Date.UTC(2100, 0, 1) }

function decode(envelope: Envelope, mapping: object, json: string, headers?: Origin['headers']): Decoded {
  const schema = new FeatureSchema(['x', 'y'])
  const decoder = createDecode({ id: 'id', time: 'time', key: 'key', value: 'amount', envelope, ...mapping }, schema)
  return decoder(JSON.parse(json), { ...origin, headers }, json)
}

describe('CloudEvents', () => {
  const mapping = { key: 'subject', features: 'features' }
  const time = '"time":"2024-01-01T00:00:00.123456789Z"'
  const attributes = `"specversion":"1.0","id":"A-1","source":"/pay","type":"t","subject":"c7",${time}`
  const event = { id: 'A-1', time: Date.UTC(2024, 0, 1, 0, 0, 0, 123), key: 'c7', value: 5, features: [1, Number.NaN] }

  it('carry their data as JSON, as text or in base 64', () => {
    const data = '{"amount":5,"features":{"x":1}}'
    const forms = [`"data":${data}`, `"data":${JSON.stringify(data)}`, `"data_base64":"${btoa(data)}"`]
    for (const form of forms) {
      const json = `{${attributes},${form}}`
      expect(decode('CloudEvents', mapping, json), form).to.deep.equal(event)
      const paths = { ...mapping, value: 'data.amount', features: 'data.features' }
      expect(decode('CloudEvents', paths, json), form).to.deep.equal(event)
      expect(decode('CloudEvents', { ...mapping, features: undefined, featureFields: ['*'] }, json)).to.include({
        reason: 'InvalidFeature',
      })
    }
  })

  it('may have their attributes in the headers of the record', () => {
    const headers = { ce_specversion: '1.0', ce_id: Buffer.from('A-1'), ce_subject: 'c7', ce_time: '1704067200.123' }
    expect(decode('CloudEvents', mapping, '{"amount":5,"features":{"x":1}}', headers)).to.deep.equal(event)
  })

  it('are exact within: the digits of text and base 64 are those that are written', () => {
    const data = '{"account":1524831183200260097,"near":1524831183200260096}'
    for (const form of [`"data":${data}`, `"data":${JSON.stringify(data)}`, `"data_base64":"${btoa(data)}"`])
      expect(decode('CloudEvents', { key: 'account' }, `{${attributes},${form}}`), form).to.include({
        key: '1524831183200260097',
      })
  })

  it('without data are left aside, and with other data refused', () => {
    expect(decode('CloudEvents', mapping, `{${attributes}}`)).to.include({ reason: 'Tombstone' })
    expect(decode('CloudEvents', mapping, `{${attributes},"data":"hello"}`)).to.include({ reason: 'MalformedJson' })
    expect(decode('CloudEvents', mapping, `{${attributes},"data":[1]}`)).to.include({ reason: 'NotAnObject' })
    const deep = `${'['.repeat(9000)}${']'.repeat(9000)}`
    expect(decode('CloudEvents', mapping, `{${attributes},"data":{"amount":${deep}}}`)).to.include({
      reason: 'InvalidValue',
    })
  })
})

describe('Debezium', () => {
  const mapping = { time: 'ts_ms', key: 'customer', features: '' }
  const row = { id: '1', time: 1640000000000, key: '7', value: 12.5, features: [] }

  it('gives the row as it is after the change, with its schema or without', () => {
    const change = '"op":"c","ts_ms":1640000000000,"before":null,"after":{"id":1,"customer":7,"amount":12.5}'
    for (const json of [`{${change}}`, `{"schema":{},"payload":{${change}}}`]) {
      expect(decode('Debezium', mapping, json)).to.deep.equal(row)
      const paths = {
        id: 'payload.after.id',
        time: 'payload.ts_ms',
        key: 'after.customer',
        value: 'payload.after.amount',
      }
      expect(decode('Debezium', { ...mapping, ...paths }, json)).to.deep.equal(row)
    }
  })

  it('reads decimals that are text and values with their type', () => {
    const change = (after: string) => `{"op":"u","ts_ms":1640000000000,"after":${after}}`
    expect(decode('Debezium', mapping, change('{"id":1,"customer":7,"amount":"12.50"}'))).to.deep.equal(row)
    const typed = '{"id":1,"customer":{"int":7},"amount":{"double":12.5}}'
    expect(decode('Debezium', mapping, change(typed))).to.deep.equal(row)
    expect(decode('Debezium', mapping, change('{"id":1,"customer":7,"amount":"BOI="}'))).to.include({
      reason: 'InvalidValue',
    })
  })

  it('leaves changes aside that leave no row', () => {
    for (const change of ['{"op":"d","before":{"id":1},"after":null}', '{"op":"t"}', '{"payload":{"op":"m"}}'])
      expect(decode('Debezium', mapping, change)).to.include({ reason: 'Tombstone' })
  })

  it('takes only what the row has for its features', () => {
    const change = '{"op":"c","ts_ms":1640000000000,"source":{"lsn":5},"after":{"x":1,"y":2,"customer":7}}'
    const features = { ...mapping, features: undefined, value: '', featureFields: ['*'] }
    expect(decode('Debezium', features, change)).to.deep.include({ key: '7', features: [1, 2] })
  })

  it('leaves aside a change whose op is nested deeper than can be written out', () => {
    const deep = `${'['.repeat(5000)}${']'.repeat(5000)}`
    const decoded = decode('Debezium', {}, `{"op":${deep},"after":null}`)
    expect(decoded).to.include({ reason: 'Tombstone', message: 'the change (op a list) leaves no row' })
  })

  it('reads a row that was taken out of its envelope before', () => {
    expect(decode('Debezium', { ...mapping, time: '' }, '{"id":1,"customer":7,"amount":12.5}')).to.include({ key: '7' })
  })
})

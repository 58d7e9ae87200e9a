import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import type { Rejection } from '../wire/rejection.ts'
import type { InputRecord } from './input-record.ts'
import { LineWriter } from './line-writer.ts'
import { writeRejection } from './rejects.ts'
import { temporaryFolder } from './temporary-folder.ts'

const base: InputRecord = {
  offset: 41,
  key: null,
  value: '{"userId":7,"value":"high"}',
  timestamp: Number.NaN,
  source: 'events.jsonl',
  row: 42,
  line: 45,
}

describe('writeRejection()', () => {
  const folder = temporaryFolder()
  after(() => folder.remove())

  function written(record: InputRecord, rejection: Rejection): unknown {
    const path = join(folder.path, 'rejects.jsonl')
    const writer = new LineWriter(path)
    writeRejection(writer, record, rejection)
    writer.close()
    const text = readFileSync(path, 'utf8')
    expect(text.indexOf('\n')).to.equal(text.length - 1)
    return JSON.parse(text)
  }

  it('says where the row stood, why it could not be read, and what it was', () => {
    const rejection = {
      reason: 'InvalidValue',
      field: 'value',
      message: 'value: "high" must be a finite number',
    } as const
    expect(written(base, rejection)).to.deep.equal({
      source: 'events.jsonl',
      line: 45,
      row: 42,
      ...rejection,
      event: '{"userId":7,"value":"high"}',
    })
  })

  it('shows the body of what came without a line, and nothing of what was too long to keep', () => {
    const rejection = { reason: 'MissingKey', message: 'userId: the event has no key' } as const
    const row = { source: 'events.jsonl', line: 45, row: 42 }
    expect(written({ ...base, value: null, body: { value: 1 } }, rejection)).to.deep.equal({
      ...row,
      ...rejection,
      event: { value: 1 },
    })
    expect(written({ ...base, value: null }, rejection)).to.deep.equal({ ...row, ...rejection, event: null })
  })

  it('keeps a row of several lines on one line', () => {
    const value = '1,"two\nlines\u2028and a half"'
    expect(written({ ...base, value }, { reason: 'RaggedRow', message: 'x' })).to.have.property('event', value)
  })
})

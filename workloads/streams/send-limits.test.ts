import { expect } from 'chai'
import { sizeOf } from '../../lib/kafka/records.ts'
import { SendLimits } from './send-limits.ts'

const record = (bytes: number) => ({ topic: 'verdicts', key: null, value: 'x'.repeat(bytes) })
const replaced = () => ({ topic: 'dead-letters', key: null, value: null })
const lengths = (sends: Iterable<readonly { readonly value: Buffer | string | null }[]>) =>
  Array.from(sends, (records) => records.map(({ value }) => value?.length ?? 0))

describe('SendLimits', () => {
  it('fills each request up to its bytes, in order; a record that alone is larger goes alone', () => {
    const limits = new SendLimits(2 * sizeOf(record(100)))
    const sends = limits.split([100, 100, 100, 900, 1, 1].map(record), replaced)
    expect(lengths(sends)).to.deep.equal([[100, 100], [100], [900], [1, 1]])
  })

  it('sends half as much at once after a refusal, but no less than the largest record', () => {
    const limits = new SendLimits(10 * sizeOf(record(100)))
    const records = Array.from({ length: 10 }, () => record(100))
    limits.tighten(records)
    expect(lengths(limits.split(records, replaced)).map(({ length }) => length)).to.deep.equal([5, 5])
    for (let i = 0; i < 3; i++) limits.tighten(records)
    expect(lengths(limits.split(records, replaced))).to.have.length(10)
  })

  it('replaces records of the size that was refused alone, and no smaller ones', () => {
    const limits = new SendLimits(10)
    limits.tighten([record(500)])
    expect(lengths(limits.split([499, 500, 501].map(record), replaced))).to.deep.equal([[499], [0], [0]])
  })
})

import { expect } from 'chai'
import { FeatureSchema } from '../detection/feature-schema.ts'
import { Profile } from '../detection/profile.ts'
import { RowLayout } from '../detection/row-layout.ts'
import { KnownColumns, ownColumns } from './known-columns.ts'

const batchOf = (columns: readonly string[], ...rows: readonly number[]) => ({
  columns,
  rows: Float64Array.from(rows),
  count: rows.length / columns.length,
  explainFrom: 3,
})

describe('Known columns', () => {
  it('leave out what is no feature of the pipeline, and say so', () => {
    const known = new KnownColumns()
    known.use(['amount', 'items'])
    const { batch, leftOut } = known.select(batchOf(['items', 'x', 'value', 'y'], 1, 2, 3, 4, 5, 6, 7, 8))
    expect(batch).to.deep.equal(batchOf(['items', 'value'], 1, 3, 5, 7))
    expect(leftOut).to.deep.equal(['x', 'y'])
  })

  it('leave rows as they are where all of it is known', () => {
    const known = new KnownColumns()
    known.use(['amount'])
    const given = batchOf([...ownColumns, 'amount'], 1, 2, 3, 4)
    expect(known.select(given).batch).to.equal(given)
  })

  it('follow the store, and stay as they are when it has lost all', () => {
    const known = new KnownColumns()
    const columns = ['amount']
    expect(known.select(batchOf(columns, 1)).leftOut).to.deep.equal(['amount'])
    known.use(columns)
    expect(known.select(batchOf(columns, 1)).leftOut).to.deep.equal([])
    known.use([])
    expect(known.select(batchOf(columns, 1)).leftOut).to.deep.equal([])
    known.use(['items'])
    expect(known.select(batchOf(columns, 1)).leftOut).to.deep.equal(['amount'])
  })

  it('are all that a row of the pipeline has', () => {
    const profile = new Profile({ name: 'profile', halfLifeEvents: 500 })
    const { columns } = new RowLayout({ schema: new FeatureSchema(), hasValue: true, hasKey: true, profile })
    expect(columns).to.deep.equal(ownColumns)
  })
})

import { expect } from 'chai'
import { modelTable } from './model-table.ts'

const record = {
  ...{
    version: 'forest-5000-aa',
    rowsSeen: 5000,
    columns: ['value', 'amount'],
    bytes: 9,
    checksum: 'abcdef0123456789',
  },
  times: { first: Date.UTC(2026, 0, 1), last: Date.UTC(2026, 0, 2, 12, 30, 59) },
  comparison: { rows: 512, presentRate: 0.002, candidateRate: 0.25, agreement: 0.912 },
} as const

describe('modelTable()', () => {
  it('shows the models that are kept, which of them serve, and why one was refused', () => {
    const reason = 'it would alert on 25.0 % of the last 512 rows, the model that serves on 0.2 %'
    const records = [
      { ...record, version: 'forest-10000-bb', rowsSeen: 10_000, outcome: 'Refused', reason } as const,
      { ...record, outcome: 'TookOver' } as const,
      { ...record, version: 'forest-16-cc', comparison: undefined, times: undefined, outcome: 'First' } as const,
    ]
    const challenger = { version: 'forest-10000-bb', percentOfKeys: 20 }
    expect(modelTable(records, { current: 'forest-5000-aa', challenger }).split('\n')).to.deep.equal([
      'VERSION          SERVES            ROWS    FEATURES  EVENTS FROM       TO                OUTCOME   AGREEMENT  ALERTS                 SHA-256',
      'forest-10000-bb  20 % of the keys  10,000  2         2026-01-01 00:00  2026-01-02 12:30  Refused   0.91       25.0 % (0.2 % before)  abcdef012345',
      'forest-5000-aa   champion          5,000   2         2026-01-01 00:00  2026-01-02 12:30  TookOver  0.91       25.0 % (0.2 % before)  abcdef012345',
      'forest-16-cc                       5,000   2                                             First                                       abcdef012345',
      `forest-10000-bb: ${reason}`,
      '',
    ])
    expect(modelTable(records, { current: 'forest-5000-aa', pin: 'forest-16-cc' })).to.match(/^forest-16-cc +pinned/m)
  })

  it('says where there is none', () => {
    expect(modelTable([], { current: undefined })).to.equal('No model was fitted yet\n')
  })
})

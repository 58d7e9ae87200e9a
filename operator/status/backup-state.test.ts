import { expect } from 'chai'
import { testParent } from '../desired/test-parent.ts'
import { backupState } from './backup-state.ts'

const backup = { schedule: '0 3 * * *', claimName: 'backups' }
const { pipeline } = testParent({ state: { redis: { managed: { backup } } } })
const stateOf = (status: object) => {
  const metadata = { name: 'payments-redis-backup' }
  const { lastTime, verdict } = backupState(pipeline, { apiVersion: 'batch/v1', kind: 'CronJob', metadata, status })!
  return [lastTime, `${verdict.status} ${verdict.reason}`]
}
const [before, after] = ['2025-06-01T03:00:00Z', '2025-06-01T03:00:20Z']

describe('backupState', () => {
  it('is nothing where no backup is asked for', () => {
    expect(backupState(testParent().pipeline, undefined)).to.equal(undefined)
  })

  it('says when the last one succeeded, and that the one since then failed', () => {
    expect(stateOf({})).to.deep.equal([undefined, 'Unknown NoneYet'])
    expect(stateOf({ lastScheduleTime: before, active: [{}] })).to.deep.equal([undefined, 'Unknown NoneYet'])
    expect(stateOf({ lastScheduleTime: before })).to.deep.equal([undefined, 'False BackupFailed'])
    expect(stateOf({ lastScheduleTime: before, lastSuccessfulTime: after })).to.deep.equal([after, 'True BackedUp'])
    const failed = { lastScheduleTime: '2025-06-02T03:00:00Z', lastSuccessfulTime: after }
    expect(stateOf({ ...failed, active: [{}] })).to.deep.equal([after, 'True BackedUp'])
    expect(stateOf(failed)).to.deep.equal([after, 'False BackupFailed'])
  })
})

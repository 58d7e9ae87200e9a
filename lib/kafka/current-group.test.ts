import { expect } from 'chai'
import { currentGroup } from './current-group.ts'

const names = { groupId: 'new', formerGroupId: 'former' }
const adminOf = (...groups: string[]) => ({
  committedOffsets: async (group: string) => new Map(groups.includes(group) ? [[0, { offset: 7, metadata: '' }]] : []),
})

describe('currentGroup', () => {
  it('is the former one as long as only that has read something', async () => {
    expect(await currentGroup(adminOf('former'), 'events', names)).to.equal('former')
    expect(await currentGroup(adminOf('former', 'new'), 'events', names)).to.equal('new')
    expect(await currentGroup(adminOf('new'), 'events', names)).to.equal('new')
    expect(await currentGroup(adminOf(), 'events', names)).to.equal('new')
  })

  it('is the given one where there was no other', async () => {
    expect(await currentGroup(adminOf(), 'events', { groupId: 'mine' })).to.equal('mine')
  })
})

import { expect } from 'chai'
import { temporaryFolder } from '../files/temporary-folder.ts'
import type { History } from './history.ts'
import { episode, historySuite, judged } from './history-suite.ts'
import { openSqliteHistory } from './sqlite-history.ts'

describe('History in SQLite', () => {
  const folder = temporaryFolder()
  after(() => folder.remove())
  let count = 0
  const opened: History[] = []
  const open = (options?: { keep: number }) => {
    const history = openSqliteHistory(`${folder.path}/${count++}.db`, options)
    opened.push(history)
    return history
  }
  afterEach(async () => {
    for (const history of opened.splice(0)) await history.close()
  })

  historySuite(async () => open())

  it('lets go of ordinary verdicts, the oldest first, where there are too many', async () => {
    const history = open({ keep: 1000 })
    for (let from = 0; from < 20_000; from += 1000)
      await history.record(
        Array.from({ length: 1000 }, (_, i) => judged(from + i, { isAnomaly: from + i === 7 })),
        [],
      )
    expect(await history.result('e8')).to.equal(undefined)
    expect(await history.result('e7')).to.be.a('string')
    expect(await history.result('e19999')).to.be.a('string')
  })

  it('goes on in the same file, and refuses one that is something else', async () => {
    const path = `${folder.path}/again.db`
    const first = openSqliteHistory(path)
    await first.record([judged(1)], [episode(1)])
    await first.close()
    const second = openSqliteHistory(path)
    expect(await second.result('e1')).to.be.a('string')
    await second.close()
    expect(() => openSqliteHistory(folder.write('text.db', 'eventId,value\n'.repeat(500)))).to.throw(/text\.db/)
    expect(() => openSqliteHistory(`${folder.path}/nowhere/a.db`)).to.throw(/nowhere/)
  })
})

import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { RowQueue } from './row-queue.ts'

const wanted = () => true
const newQueue = () => new RowQueue({ maxRows: 10, maxBytes: 500 })
const load = (rows: number, bytes = 8 * rows) => ({ rows, bytes })

describe('RowQueue', () => {
  it('works off what it is given in order, one piece a turn of the event loop', async () => {
    const queue = newQueue()
    const order: string[] = []
    const pieces = ['a', 'b', 'c'].map((piece) => queue.run(load(1), wanted, () => order.push(piece)))
    const first = new Promise<string[]>((resolve) => setImmediate(() => setImmediate(() => resolve([...order]))))
    expect(order).to.deep.equal([])
    expect((await first).length).to.be.within(1, 2)
    await Promise.all(pieces)
    expect(order).to.deep.equal(['a', 'b', 'c'])
    expect(queue.waiting).to.equal(0)
  })

  it('turns away what would make too many rows wait, and takes more once they are done', async () => {
    const queue = newQueue()
    const under = queue.run(load(8), wanted, () => 'done')
    const over = await queue.run(load(3), wanted, () => 'never').catch((error) => error)
    expect(over).to.be.instanceOf(AppError)
    expect(over.message).to.equal('3 rows are too many: 8 wait already, 10 may')
    expect(await under).to.equal('done')
    expect(await queue.run(load(3), wanted, () => 'done')).to.equal('done')
  })

  it('holds its limits also where nothing waits', async () => {
    const queue = newQueue()
    const refused = await Promise.allSettled(
      [load(11), load(1, 501)].map((one) => queue.run(one, wanted, () => 'never')),
    )
    expect(refused.map((one) => one.status === 'rejected' && one.reason.message)).to.deep.equal([
      '11 rows are too many: 0 wait already, 10 may',
      '501 bytes are too many: 0 wait already, 500 may',
    ])
    expect(await queue.run(load(10, 500), wanted, () => 'done')).to.equal('done')
  })

  it('leaves undone what nobody wants any more when its turn comes', async () => {
    const queue = newQueue()
    let isWanted = true
    const answer = queue.run(load(1), () => isWanted, () => expect.fail('it should not have run')) // biome-ignore format: one line
    isWanted = false
    expect(await answer).to.equal(undefined)
  })

  it('goes on after work that throws', async () => {
    const queue = newQueue()
    const failing = queue.run(load(1), wanted, () => {
      throw new Error('broken')
    })
    const next = queue.run(load(1), wanted, () => 'done')
    expect((await failing.catch((error) => error)).message).to.equal('broken')
    expect(await next).to.equal('done')
    expect(queue.waiting).to.equal(0)
  })
})

import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { RowQueue } from './row-queue.ts'

const wanted = () => true

describe('RowQueue', () => {
  it('works off what it is given in order, one piece a turn of the event loop', async () => {
    const queue = new RowQueue({ maxRows: 10 })
    const order: string[] = []
    const pieces = ['a', 'b', 'c'].map((piece) => queue.run(1, wanted, () => order.push(piece)))
    const first = new Promise<string[]>((resolve) => setImmediate(() => setImmediate(() => resolve([...order]))))
    expect(order).to.deep.equal([])
    expect((await first).length).to.be.within(1, 2)
    await Promise.all(pieces)
    expect(order).to.deep.equal(['a', 'b', 'c'])
    expect(queue.waiting).to.equal(0)
  })

  it('turns away what would make too many rows wait, and takes more once they are done', async () => {
    const queue = new RowQueue({ maxRows: 10 })
    const under = queue.run(8, wanted, () => 'done')
    const over = await queue.run(3, wanted, () => 'never').catch((error) => error)
    expect(over).to.be.instanceOf(AppError)
    expect(over.message).to.equal('8 rows wait already, 10 may; try again')
    expect(await under).to.equal('done')
    expect(await queue.run(3, wanted, () => 'done')).to.equal('done')
  })

  it('takes a piece of any size where nothing waits', async () => {
    const queue = new RowQueue({ maxRows: 10 })
    expect(await queue.run(1000, wanted, () => 'done')).to.equal('done')
  })

  it('leaves undone what nobody wants any more when its turn comes', async () => {
    const queue = new RowQueue({ maxRows: 10 })
    let isWanted = true
    const answer = queue.run(1, () => isWanted, () => expect.fail('it should not have run')) // biome-ignore format: one line
    isWanted = false
    expect(await answer).to.equal(undefined)
  })

  it('goes on after work that throws', async () => {
    const queue = new RowQueue({ maxRows: 10 })
    const failing = queue.run(1, wanted, () => {
      throw new Error('broken')
    })
    const next = queue.run(1, wanted, () => 'done')
    expect((await failing.catch((error) => error)).message).to.equal('broken')
    expect(await next).to.equal('done')
    expect(queue.waiting).to.equal(0)
  })
})

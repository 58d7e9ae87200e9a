import { expect } from 'chai'
import { transactionalId } from './transactional-id.ts'

describe('transactionalId', () => {
  it('is never the same for two groups and topics, wherever their names are cut', () => {
    const name = 'a-b_c.d-1-2'
    const cuts = Array.from(
      { length: name.length - 1 },
      (_, at) => [name.slice(0, at + 1), name.slice(at + 1)] as const,
    )
    const ids = cuts.flatMap(([group, topic]) => [0, 1, 2].map((partition) => transactionalId(group, topic, partition)))
    expect(new Set(ids).size).to.equal(3 * cuts.length)
    expect(transactionalId('a/b', 'c', 0)).not.to.equal(transactionalId('a', 'b', 0))
  })
})

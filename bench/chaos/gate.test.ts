import { expect } from 'chai'
import { Gate } from './gate.ts'

describe('Gate', () => {
  it('is held when those inside have left, and lets nobody in before it is open again', async () => {
    const gate = new Gate()
    const seen: string[] = []
    const [leave, open] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const inside = gate.pass(() => leave.promise.then(() => seen.push('left')))
    await Promise.resolve()
    const held = gate.hold(async () => {
      seen.push('held')
      await open.promise
      seen.push('open')
    })
    const later = gate.pass(async () => seen.push('passed'))
    leave.resolve()
    open.resolve()
    await Promise.all([inside, held, later])
    expect(seen).to.deep.equal(['left', 'held', 'open', 'passed'])
  })
})

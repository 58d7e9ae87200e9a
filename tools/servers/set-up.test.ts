import { expect } from 'chai'
import { missingSteps, setUp } from './set-up.ts'

const step = (name: string, make: () => Promise<void>, isDone = false) => ({ name, make, isDone: async () => isDone })

describe('setUp()', () => {
  it('makes what is missing in its order and says which of how many it is at', async () => {
    const lines: string[] = []
    const made: string[] = []
    const steps = ['etcd', 'helm', 'argocd'].map((name) =>
      step(name, async () => void made.push(name), name === 'helm'),
    )
    await setUp(await missingSteps(steps), { print: (line) => lines.push(line.replace(/\d+ s$/, 'N s')) })
    expect(made).to.deep.equal(['etcd', 'argocd'])
    expect(lines).to.deep.equal([
      'set-up 1 of 2: etcd …',
      'set-up 1 of 2: etcd, done in N s',
      'set-up 2 of 2: argocd …',
      'set-up 2 of 2: argocd, done in N s',
    ])
  })

  it('says again and again that it is still at work', async () => {
    const lines: string[] = []
    const said = Promise.withResolvers<void>()
    const print = (line: string): void => {
      lines.push(line)
      if (lines.length === 3) said.resolve()
    }
    await setUp([step('etcd', () => said.promise)], { print, everyMs: 1 })
    expect(lines[2]).to.match(/^set-up 1 of 1: etcd … \d+ s$/)
  })

  it('ends at the first that cannot be made, and says which', async () => {
    const made: string[] = []
    const steps = [
      step('etcd', () => Promise.reject(new Error('Go is not installed.'))),
      step('helm', async () => void made.push('helm')),
    ]
    const failure = await setUp(steps, { print: () => {} }).catch((error: Error) => error.message)
    expect(failure).to.match(/^set-up 1 of 2: etcd failed after \d+ s\. Go is not installed\.$/)
    expect(made).to.deep.equal([])
  })
})

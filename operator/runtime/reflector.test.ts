import { expect } from 'chai'
import { tooLong } from '../../lib/bounded-body.ts'
import { AppError } from '../../lib/errors.ts'
import { createManualClock } from '../../lib/manual-clock.ts'
import { createCache } from './cache.ts'
import type { KubeClient, ListOptions, Page, WatchOptions } from './kube-client.ts'
import type { KubeObject, Resource } from './kube-object.ts'
import { errorOfStatus } from './kube-status.ts'
import { startReflector } from './reflector.ts'

const things: Resource = { apiVersion: 'v1', kind: 'Thing', plural: 'things', namespaced: true }
const silent = { debug() {}, info() {}, warn() {}, error() {} }

function thing(name: string, version: number): KubeObject {
  return { apiVersion: 'v1', kind: 'Thing', metadata: { name, namespace: 'a', resourceVersion: String(version) } }
}
const gone = () => errorOfStatus('watch', { code: 410, reason: 'Expired', message: 'too old' }, 410)
const reset = () =>
  new AppError('Unavailable', 'Cannot watch', { cause: Object.assign(new Error(), { code: 'ECONNRESET' }) })

describe('Reflector', () => {
  /** Answers lists and watches as scripted; what is not scripted is an empty list as of 1, and a watch without an end. */
  function harness() {
    const clock = createManualClock()
    const log: string[] = []
    const lists: ((options: ListOptions) => Page)[] = []
    const watches: ((options: WatchOptions) => Promise<void> | void)[] = []
    const client = {
      async list(_: Resource, options: ListOptions) {
        log.push(`${clock.monotonic()} list${options.continue === undefined ? '' : ` ${options.continue}`}`)
        return (lists.shift() ?? (() => ({ items: [], resourceVersion: '1' })))(options)
      },
      async watch(_: Resource, options: WatchOptions) {
        log.push(`${clock.monotonic()} watch ${options.resourceVersion}`)
        const script = watches.shift()
        if (script !== undefined) return script(options)
        options.onOpen?.()
        await new Promise((_resolve, reject) => options.signal?.addEventListener('abort', () => reject(reset())))
      },
    } as unknown as KubeClient
    const cache = createCache()
    const start = () =>
      startReflector({
        client,
        resource: things,
        cache,
        log: silent,
        clock,
        random: () => 0,
        backoff: { baseMs: 100, maxMs: 1_000 },
      })
    const names = () => [...cache.values()].map(({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`)
    return { clock, log, lists, watches, start, names }
  }

  it('lists page by page, then watches from the version of the list', async () => {
    const { clock, log, lists, start, names } = harness()
    lists.push(() => ({ items: [thing('x', 3)], resourceVersion: '9', continue: 'two' }))
    lists.push(() => ({ items: [thing('y', 4)], resourceVersion: '9' }))
    const reflector = start()
    expect(reflector.hasSynced()).to.equal(false)
    await reflector.synced
    await clock.advance(0)
    expect([log, names()]).to.deep.equal([
      ['0 list', '0 list two', '0 watch 9'],
      ['x@3', 'y@4'],
    ])
    await reflector.stop()
  })

  it('goes on at the version of the last event or bookmark when the API server ends the watch', async () => {
    const { clock, log, watches, start, names } = harness()
    watches.push(({ onEvent }) => {
      onEvent({ type: 'ADDED', object: thing('x', 5) })
      onEvent({ type: 'BOOKMARK', object: thing('', 8) })
    })
    const reflector = start()
    await clock.advance(0)
    expect([log, names()]).to.deep.equal([['0 list', '0 watch 1', '0 watch 8'], ['x@5']])
    await reflector.stop()
  })

  it('waits longer and longer while the API server cannot be reached, then goes on where it was', async () => {
    const { clock, log, watches, start } = harness()
    for (let failure = 0; failure < 4; failure++) watches.push(() => Promise.reject(reset()))
    const reflector = start()
    await clock.advance(400)
    expect(reflector.staleMs()).to.equal(400)
    await clock.advance(2_000)
    expect(log).to.deep.equal(['0 list', '0 watch 1', '100 watch 1', '300 watch 1', '700 watch 1', '1500 watch 1'])
    expect(reflector.staleMs()).to.equal(0)
    await reflector.stop()
  })

  it('lists anew at once after a 410, and with waits when that does not help', async () => {
    const { clock, log, watches, start } = harness()
    for (let failure = 0; failure < 3; failure++) watches.push(() => Promise.reject(gone()))
    const reflector = start()
    await clock.advance(1_000)
    expect(log).to.deep.equal([
      '0 list',
      '0 watch 1',
      '0 list',
      '0 watch 1',
      '200 list',
      '200 watch 1',
      '600 list',
      '600 watch 1',
    ])
    await reflector.stop()
  })

  it('lists anew when the API server says no to the watch again and again', async () => {
    const { clock, log, watches, start } = harness()
    for (let failure = 0; failure < 5; failure++) watches.push(() => Promise.reject(errorOfStatus('watch', {}, 500)))
    const reflector = start()
    await clock.advance(10_000)
    expect(log.filter((line) => line.endsWith('list'))).to.have.length(2)
    await reflector.stop()
  })

  it('does not turn watches that end at once into a busy loop', async () => {
    const { clock, log, watches, start } = harness()
    for (let end = 0; end < 10; end++) watches.push(() => {})
    const reflector = start()
    await clock.advance(500)
    expect(log).to.deep.equal(['0 list', '0 watch 1', '0 watch 1', '100 watch 1', '300 watch 1'])
    await reflector.stop()
  })

  it('waits as long as it is asked to', async () => {
    const { clock, log, lists, start } = harness()
    lists.push(() => {
      throw errorOfStatus('list', {}, 429, 5_000)
    })
    const reflector = start()
    await clock.advance(4_999)
    expect(log).to.deep.equal(['0 list'])
    await clock.advance(1)
    expect(log).to.deep.equal(['0 list', '5000 list', '5000 watch 1'])
    await reflector.stop()
  })

  it('reads a list at one go when it expired between two pages', async () => {
    const { clock, log, lists, start, names } = harness()
    lists.push(() => ({ items: [thing('x', 3)], resourceVersion: '9', continue: 'two' }))
    lists.push(() => {
      throw gone()
    })
    lists.push(({ limit }) => ({ items: [thing('x', 3), thing('y', 4)], resourceVersion: String(limit ?? 12) }))
    const reflector = start()
    await clock.advance(0)
    expect([log, names()]).to.deep.equal([
      ['0 list', '0 list two', '0 list', '0 watch 12'],
      ['x@3', 'y@4'],
    ])
    await reflector.stop()
  })

  it('asks for fewer objects a page where a page is too long to be read', async () => {
    const { clock, log, lists, start, names } = harness()
    const limits: (number | undefined)[] = []
    lists.push(({ limit }) => {
      limits.push(limit)
      throw tooLong(64 << 20, 'list things')
    })
    lists.push(({ limit }) => {
      limits.push(limit)
      return { items: [thing('x', 3)], resourceVersion: '9', continue: 'two' }
    })
    lists.push(({ limit }) => {
      limits.push(limit)
      return { items: [thing('y', 4)], resourceVersion: '9' }
    })
    const reflector = start()
    await clock.advance(0)
    expect([log, names(), limits]).to.deep.equal([
      ['0 list', '0 list', '0 list two', '0 watch 9'],
      ['x@3', 'y@4'],
      [500, 50, 50],
    ])
    await reflector.stop()
  })

  it('writes nothing to its cache once it is stopped, and never was synced', async () => {
    const { clock, lists, start, names } = harness()
    lists.push(() => ({ items: [thing('x', 3)], resourceVersion: '9' }))
    const reflector = start()
    await reflector.stop()
    await clock.advance(10_000)
    expect(names()).to.deep.equal([])
    const error = await reflector.synced.catch((reason: unknown) => reason)
    expect(error).to.be.instanceOf(AppError)
  })
})

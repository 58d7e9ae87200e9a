import { EventEmitter } from 'node:events'
import { expect } from 'chai'
import { type Host, type Part, type RunOptions, run } from './lifecycle.ts'
import type { Logger } from './log.ts'

/** Everything that happens, in order: starts, stops, logged messages and exits. */
function world() {
  const story: string[] = []
  const emitter = new EventEmitter()
  const exited = Promise.withResolvers<number>()
  const host: Host = {
    on: (signal, listener) => emitter.on(signal, listener),
    off: (signal, listener) => emitter.off(signal, listener),
    exit(code) {
      story.push(`exit ${code}`)
      exited.resolve(code)
    },
  }
  const write = (_: object, message: string) => void story.push(message)
  const log: Logger = { debug: write, info: write, warn: write, error: write }
  const part = (name: string, over: Partial<Part> = {}): Part => ({
    name,
    start: () => void story.push(`start ${name}`),
    stop: () => void story.push(`stop ${name}`),
    ...over,
  })
  /** The last part: when all before it have started, the process gets the signal. */
  const signalledBy = (signal: 'SIGTERM' | 'SIGINT') =>
    part('last', { start: () => void setImmediate(() => emitter.emit(signal, signal)) })
  const go = (parts: Part[], options: Partial<RunOptions> = {}) => run(parts, { log, host, ...options })
  return { story, emitter, exited: exited.promise, part, signalledBy, go }
}

const stopping = 'stopping; a second signal exits at once'

describe('run', () => {
  it('starts the parts in order and stops them in reverse on SIGTERM', async () => {
    const { story, part, signalledBy, go, emitter } = world()
    await go([part('probes'), part('kafka'), signalledBy('SIGTERM')])
    expect(story).to.deep.equal(['start probes', 'start kafka', stopping, 'stop last', 'stop kafka', 'stop probes'])
    expect(emitter.listenerCount('SIGTERM') + emitter.listenerCount('SIGINT')).to.equal(0)
  })

  it('waits for each start and each stop', async () => {
    const { story, part, signalledBy, go } = world()
    const slow = part('slow', {
      async start() {
        await new Promise(setImmediate)
        story.push('started slow')
      },
      async stop() {
        await new Promise(setImmediate)
        story.push('stopped slow')
      },
    })
    await go([part('probes'), slow, signalledBy('SIGINT')])
    expect(story).to.deep.equal(['start probes', 'started slow', stopping, 'stop last', 'stopped slow', 'stop probes'])
  })

  it('lets readiness fail before the first part stops', async () => {
    const { story, part, signalledBy, go } = world()
    const stop = new AbortController()
    stop.signal.addEventListener('abort', () => story.push('not ready'))
    await go([part('api'), signalledBy('SIGTERM')], { stop, drainMs: 1 })
    expect(story).to.deep.equal(['start api', stopping, 'not ready', 'stop last', 'stop api'])
  })

  it('stops without a signal when the input has ended', async () => {
    const { story, part, go } = world()
    const stop = new AbortController()
    await go([part('input', { start: () => void setImmediate(() => stop.abort()) })], { stop })
    expect(story).to.deep.equal(['stop input'])
  })

  it('stops what has started and rejects when a start fails', async () => {
    const { story, part, go } = world()
    const failure = new Error('no broker')
    const kafka = part('kafka', { start: () => Promise.reject(failure) })
    expect(await go([part('probes'), kafka, part('api')]).catch((e) => e)).to.equal(failure)
    expect(story).to.deep.equal(['start probes', 'stop probes'])
  })

  it('stops everything and rejects when a part fails later', async () => {
    const { story, part, go } = world()
    const stop = new AbortController()
    const failure = new Error('loop died')
    const loop = part('loop', { start: () => void setImmediate(() => stop.abort(failure)) })
    expect(await go([part('probes'), loop], { stop }).catch((e) => e)).to.equal(failure)
    expect(story).to.deep.equal(['start probes', 'stop loop', 'stop probes'])
  })

  it('stops the other parts when one cannot stop, and rejects with its error', async () => {
    const { story, part, signalledBy, go } = world()
    const failure = new Error('flush failed')
    const state = part('state', { stop: () => Promise.reject(failure) })
    expect(await go([part('probes'), state, signalledBy('SIGTERM')]).catch((e) => e)).to.equal(failure)
    expect(story.slice(-3)).to.deep.equal(['stop last', 'cannot stop cleanly', 'stop probes'])
  })

  it('ends a start that is under way when a signal comes, without calling that an error', async () => {
    const { story, part, emitter, go } = world()
    const waiting = part('waiting', {
      start: (signal) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason))
          setImmediate(() => emitter.emit('SIGTERM', 'SIGTERM'))
        }),
    })
    await go([part('probes'), waiting, part('never')])
    expect(story).to.deep.equal(['start probes', stopping, 'stop probes'])
  })

  for (const [signal, code] of [['SIGTERM', 143] as const, ['SIGINT', 130] as const]) {
    it(`exits with ${code} at once on ${signal} while it is stopping`, async () => {
      const { story, part, signalledBy, go, emitter } = world()
      const stuck = part('stuck', {
        stop: () =>
          new Promise((resolve) => {
            emitter.emit(signal, signal)
            resolve()
          }),
      })
      await go([stuck, signalledBy('SIGTERM')])
      expect(story).to.deep.equal(['start stuck', stopping, 'stop last', `exit ${code}`])
    })
  }

  it('exits after a signal where something keeps the process alive, if it is to', async () => {
    for (const [failure, code] of [[undefined, 0] as const, [new Error('flush failed'), 1] as const]) {
      const { story, part, signalledBy, go, exited } = world()
      const state = part('state', { stop: () => (failure ? Promise.reject(failure) : Promise.resolve()) })
      await go([state, signalledBy('SIGTERM')], { lingerMs: 1 }).catch(() => {})
      expect(story).to.not.include(`exit ${code}`)
      const alive = setInterval(() => {}, 1000)
      expect(await exited).to.equal(code)
      clearInterval(alive)
    }
  })

  it('exits with 1 when a part does not stop in time', async () => {
    const { story, part, signalledBy, go, exited } = world()
    const stuck = part('stuck', { stop: () => new Promise(() => {}) })
    void go([part('probes'), stuck, signalledBy('SIGTERM')], { stopTimeoutMs: 1 })
    expect(await exited).to.equal(1)
    expect(story.slice(-3)).to.deep.equal(['stop last', 'did not stop in time; exiting', 'exit 1'])
  })
})

import { expect } from 'chai'
import { createManualClock, type ManualClock } from '../../lib/manual-clock.ts'
import type { Role } from '../../lib/pipeline/spec.ts'
import { createReportReader } from './report-reader.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const key = 'shop/payments'
const second = 1000

function pod(podIP: string, isReady = true) {
  const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False' }]
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name: podIP }, status: { podIP, phase: 'Running', conditions } }
}

describe('ReportReader', () => {
  let clock: ManualClock
  let changed: number
  let asked: string[]
  let answers: Record<string, unknown>

  function follow(pods: Partial<Record<Role, readonly ReturnType<typeof pod>[]>>) {
    clock = createManualClock()
    changed = 0
    asked = []
    answers = {}
    const reader = createReportReader({
      log: silent,
      clock,
      random: () => 0.5,
      changed: () => changed++,
      podsOf: (_, role) => pods[role] ?? [],
      async askPod(url) {
        asked.push(url)
        const found = Object.entries(answers).find(([part]) => url.includes(part))?.[1]
        if (found === undefined) throw new Error('refused')
        return typeof found === 'string' ? found : JSON.stringify(found)
      },
    })
    reader.follow(key, true)
    return reader
  }
  async function pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= second) {
      await clock.advance(second)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  it('tells of pods that answer, whatever others do', async () => {
    const reader = follow({ inference: [pod('10.0.0.1'), pod('fd00::1')] })
    answers = { 'fd00::1': { modelVersion: 'v1', modelRows: 7 } }
    await pass(30 * second)
    reader.stop()
    expect(asked.slice(0, 2)).to.deep.equal(['http://10.0.0.1:9090/status', 'http://[fd00::1]:9090/status'])
    expect(changed).to.equal(1)
  })

  it('tells within 15 seconds that the store went away and came back, and figures once a minute', async () => {
    const reader = follow({ consumer: [pod('10.0.0.2')] })
    const say = (redis: string, events: number) => {
      answers = { '10.0.0.2': { redis, events, alerts: events / 1000 } }
    }
    say('ok', 0)
    await pass(15 * second)
    expect(reader.read(key)).to.deep.include({ state: {} })
    say('unreachable for 1 s', 2000)
    await pass(15 * second)
    expect(reader.read(key)).to.deep.include({ state: { problem: 'consumer: unreachable' } })
    const before = changed
    for (let events = 2000; events < 10_000; events += 1000) {
      say(`unreachable for ${events} s`, events)
      await pass(7 * second)
    }
    expect(changed - before).to.equal(0)
    say('ok', 10_000)
    await pass(15 * second)
    expect(reader.read(key)).to.deep.include({ state: {}, alertsPerMillion: 1000 })
    reader.stop()
  })

  it('keeps the model of pods that do not answer at the moment, and nothing that is of the moment', async () => {
    const reader = follow({ inference: [pod('10.0.0.1')] })
    answers = { '10.0.0.1': { modelVersion: 'v1', store: 'away' } }
    await pass(15 * second)
    expect(reader.read(key)).to.deep.include({ state: { problem: 'inference: away' }, model: { version: 'v1' } })
    answers = {}
    await pass(15 * second)
    expect(reader.read(key)).to.deep.equal({ model: { version: 'v1' } })
    reader.stop()
  })

  it('asks pods that are not ready why', async () => {
    const reader = follow({ inference: [pod('10.0.0.1', false), pod('10.0.0.3')] })
    answers = { '1:9090/readyz': '[-]models failed: no answer from redis\nfailed\n' }
    await pass(15 * second)
    expect(reader.read(key)?.unready).to.deep.equal({ '10.0.0.1': 'models: no answer from redis' })
    expect(asked.filter((url) => url.endsWith('3:9090/readyz'))).to.deep.equal([])
    reader.stop()
  })

  it('tells of what pods count for an hour after it happened', async () => {
    const reader = follow({ consumer: [pod('10.0.0.2')] })
    const reasons = () => reader.read(key)?.degradations?.map(({ reason }) => reason)
    answers = { '10.0.0.2': { conditions: { offsetsLost: 0 } } }
    await pass(15 * second)
    expect(reasons()).to.deep.equal([])
    answers = { '10.0.0.2': { conditions: { offsetsLost: 7 } } }
    await pass(15 * second)
    expect(reasons()).to.deep.equal(['OffsetsLost'])
    await pass(3600 * second)
    expect(reasons()).to.deep.equal([])
    reader.stop()
  })

  it('lets a rate stand while the consumers have just begun, and tells of none after an hour of few events', async () => {
    const reader = follow({ consumer: [pod('10.0.0.2')] })
    answers = { '10.0.0.2': { events: 5000, alerts: 5 } }
    await pass(15 * second)
    expect(reader.read(key)?.alertsPerMillion).to.equal(1000)
    answers = { '10.0.0.2': { events: 20, alerts: 0 } }
    await pass(120 * second)
    expect(reader.read(key)).to.not.have.property('alertsPerMillion')
    await pass(3600 * second)
    expect(reader.read(key)?.alertsPerMillion).to.equal(null)
    reader.stop()
  })
})

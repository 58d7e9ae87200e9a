import { expect } from 'chai'
import { createManualClock } from '../../lib/manual-clock.ts'
import { createEventRecorder, type EventRecorderOptions } from './events.ts'
import type { KubeClient } from './kube-client.ts'
import type { KubeObject, Resource } from './kube-object.ts'
import { errorOfStatus } from './kube-status.ts'

describe('EventRecorder', () => {
  const object: KubeObject = { apiVersion: 'v1', kind: 'Thing', metadata: { name: 'x', namespace: 'a', uid: 'u1' } }

  function harness(options: Partial<EventRecorderOptions> = {}) {
    const clock = createManualClock()
    const stored = new Map<string, KubeObject>()
    const warnings: unknown[] = []
    const client = {
      async create(_: Resource, event: KubeObject) {
        stored.set(event.metadata.name, event)
        return event
      },
      async patch(_: Resource, { name }: { name: string }, patch: object) {
        const event = stored.get(name)
        if (event === undefined) throw errorOfStatus('patch', {}, 404)
        stored.set(name, { ...event, ...patch })
        return stored.get(name)
      },
    } as unknown as KubeClient
    const log = { debug() {}, info() {}, warn: (fields: object) => void warnings.push(fields), error() {} }
    const recorder = createEventRecorder({ client, component: 'tester', instance: 'pod-1', log, clock, ...options })
    const lines = () =>
      [...stored.values()].map((event) => `${event.count} ${event.type} ${event.reason}: ${event.message}`)
    return { clock, stored, warnings, recorder, lines }
  }

  it('says what happened to what, when, and who says so', async () => {
    const { recorder, stored } = harness()
    recorder.record(object, 'Warning', 'Broken', 'it broke')
    await recorder.flush()
    const [event] = stored.values()
    expect(event?.metadata.name).to.match(/^x\.[0-9a-f]{16}$/)
    expect({ ...event, metadata: event?.metadata.namespace }).to.deep.equal({
      apiVersion: 'v1',
      kind: 'Event',
      metadata: 'a',
      involvedObject: {
        apiVersion: 'v1',
        kind: 'Thing',
        name: 'x',
        namespace: 'a',
        uid: 'u1',
        resourceVersion: undefined,
      },
      type: 'Warning',
      reason: 'Broken',
      message: 'it broke',
      source: { component: 'tester', host: 'pod-1' },
      reportingComponent: 'tester',
      reportingInstance: 'pod-1',
      firstTimestamp: '2026-01-01T00:00:00Z',
      lastTimestamp: '2026-01-01T00:00:00Z',
      count: 1,
    })
  })

  it('counts the same again, and begins anew after the window', async () => {
    const { clock, recorder, lines, stored } = harness()
    recorder.record(object, 'Normal', 'Same', 'again')
    await clock.advance(60_000)
    recorder.record(object, 'Normal', 'Same', 'again')
    await recorder.flush()
    expect(lines()).to.deep.equal(['2 Normal Same: again'])
    expect([...stored.values()][0]).to.include({
      firstTimestamp: '2026-01-01T00:00:00Z',
      lastTimestamp: '2026-01-01T00:01:00Z',
    })
    await clock.advance(600_000)
    recorder.record(object, 'Normal', 'Same', 'again')
    await recorder.flush()
    expect(lines()).to.deep.equal(['2 Normal Same: again', '1 Normal Same: again'])
  })

  it('combines many messages of one reason', async () => {
    const { recorder, lines } = harness({ combineAfter: 2 })
    for (const message of ['one', 'two', 'three', 'four']) recorder.record(object, 'Normal', 'Many', message)
    await recorder.flush()
    expect(lines()).to.deep.equal([
      '1 Normal Many: one',
      '1 Normal Many: two',
      '2 Normal Many: (combined from similar events) four',
    ])
  })

  it('lets no reason of an object write without end, and the others go on', async () => {
    const { recorder, lines } = harness({ limit: { burst: 2, perSecond: 0.001 } })
    for (const message of ['x', 'y', 'z']) recorder.record(object, 'Normal', 'A', message)
    recorder.record(object, 'Normal', 'B', 'x')
    recorder.record({ ...object, metadata: { ...object.metadata, uid: 'u2' } }, 'Normal', 'A', 'x')
    await recorder.flush()
    expect(lines()).to.deep.equal(['1 Normal A: x', '1 Normal A: y', '1 Normal B: x', '1 Normal A: x'])
  })

  it('writes anew an event that somebody deleted', async () => {
    const { recorder, lines, stored } = harness()
    recorder.record(object, 'Normal', 'Same', 'again')
    await recorder.flush()
    stored.clear()
    recorder.record(object, 'Normal', 'Same', 'again')
    await recorder.flush()
    expect(lines()).to.deep.equal(['1 Normal Same: again'])
  })

  it('never fails', async () => {
    const client = { create: () => Promise.reject(new Error('away')) } as unknown as KubeClient
    const { recorder, warnings } = harness({ client })
    recorder.record(object, 'Normal', 'Lost', 'x')
    await recorder.flush()
    expect(warnings).to.deep.equal([{ reason: 'Lost', object: 'x', error: 'away' }])
  })
})

import { expect } from 'chai'
import type { KubeObject } from '../runtime/kube-object.ts'
import { lastRefusal } from './refused-pod.ts'

const event = (message: string, times: object): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Event',
  metadata: { name: 'payments-redis.1', creationTimestamp: '2025-06-01T12:00:00Z' },
  reason: 'FailedCreate',
  message,
  ...times,
})

describe('lastRefusal', () => {
  it('is what the event says that came last, or was counted up last', () => {
    const counted = event('counted', { count: 9, lastTimestamp: '2025-06-01T12:30:00Z' })
    const later = event('later', { lastTimestamp: '2025-06-01T12:20:00Z' })
    expect(lastRefusal([later, counted, later])).to.deep.equal({
      reason: 'FailedCreate',
      message: 'counted',
      since: '2025-06-01T12:00:00Z',
      needsPerson: true,
    })
    const series = { eventTime: '2025-06-01T12:10:00.000001Z', lastTimestamp: null }
    const inSeries = event('in series', { ...series, series: { lastObservedTime: '2025-06-01T12:40:00.000001Z' } })
    expect(lastRefusal([inSeries, counted])?.message).to.equal('in series')
    expect(lastRefusal([counted, event('began', series)])?.message).to.equal('counted')
    expect(lastRefusal([event('made', {})])?.message).to.equal('made')
  })

  it('leaves out that many alike were combined', () => {
    const combined = event('(combined from similar events): create Pod failed', {
      lastTimestamp: '2025-06-01T12:30:00Z',
    })
    expect(lastRefusal([combined])?.message).to.equal('create Pod failed')
  })

  it('is nothing where there is no event', () => {
    expect(lastRefusal([])).to.equal(undefined)
  })
})

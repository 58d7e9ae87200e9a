import { expect } from 'chai'
import { statusScreen } from './status-screen.ts'

const now = Date.parse('2025-06-01T12:00:00Z')
const condition = (type: string, status: string, reason: string, message: string) => ({
  ...{ type, status, reason, message, lastTransitionTime: '2025-06-01T08:40:00Z' },
})
const pipeline = (status: object) => ({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'payments', namespace: 'shop', generation: 3 },
  spec: { source: { topic: 'payments' } },
  status,
})

describe('statusScreen', () => {
  it('shows how a pipeline is, and what is amiss', () => {
    const screen = statusScreen(
      pipeline({
        observedGeneration: 2,
        conditions: [
          condition('Ready', 'False', 'ApiNotReady', 'api: 1 of 2 ready'),
          condition('Progressing', 'False', 'Complete', ''),
          condition(
            'Degraded',
            'True',
            'StateUnavailable',
            'consumer: redis is unreachable\napi: redis is unreachable',
          ),
          condition('ModelReady', 'True', 'ModelLoaded', ''),
        ],
        components: {
          api: {
            desired: 2,
            ready: 1,
            updated: 2,
            summary: '1/2',
            reason: 'ImagePullBackOff',
            message: 'no such image',
          },
          redis: { desired: 1, ready: 1, updated: 1, summary: '1/1' },
        },
        source: { partitions: 12, lag: 60_000 },
        alerts: { perMillion: 940, budgetPerMillion: 1000, openEpisodes: 3, episodesLastHour: 1200 },
        model: { version: 'v3', fitTime: '2025-05-29T12:00:00Z', rows: 9000 },
      }),
      now,
    )
    expect(screen).to.equal(`shop/payments: False ApiNotReady, for 3h20m
  api: 1 of 2 ready
  the last change of the document was not taken up yet

COMPONENT   READY   UPDATED   WAITS FOR
redis       1/1     1
api         1/2     2         ImagePullBackOff: no such image

Lag        60,000 events in 12 partitions of payments
Episodes   3 open, 1,200 in the last hour
Alerts     940 per million in the last hour, with a budget of 1,000
Model      v3, fitted 3d ago, stands for 9,000 rows

Degraded: True StateUnavailable, for 3h20m
  consumer: redis is unreachable
  api: redis is unreachable
`)
  })

  it('shows a model that was refused, and a challenger with the figures of the champion in brackets', () => {
    const candidate = { version: 'v4', outcome: 'Refused', message: 'it would alert on 30.0 % of the last 512 rows' }
    const figures = {
      alertsPerMillion: 1200,
      championAlertsPerMillion: 990,
      agreementPercent: 93,
      precisionPercent: 80,
    }
    const challenger = { version: 'v2', percentOfKeys: 20, ...figures }
    const screen = statusScreen(pipeline({ model: { version: 'v3', candidate, challenger } }), now)
    expect(screen).to.include(`
Model        v3
Refused      v4: it would alert on 30.0 % of the last 512 rows
Challenger   v2 on 20 % of the keys, alerts per million 1,200 (990), agreement 93 %, precision 80 % (unknown)
`)
  })

  it('has something to say of a pipeline that no operator has seen', () => {
    expect(statusScreen(pipeline({}), now)).to.match(/^shop\/payments: not seen by an operator yet\n/)
  })
})

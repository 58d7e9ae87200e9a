import { expect } from 'chai'
import { desired } from '../desired/desired.ts'
import { testObserved, testParent } from '../desired/test-parent.ts'
import { watchArguments } from './watch-arguments.ts'

const settings = { workloadImage: 'anomaly:1', redisImage: 'redis:8', logLevel: 'info' }

const deployment = (source: object) => {
  const parent = testParent({ source: { brokers: ['kafka:9092'], ...source } })
  return desired(parent, testObserved(parent), settings).find(
    ({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'payments-consumer',
  )!
}

describe('watchArguments', () => {
  it('reads the verdicts with the access that the consumer has', () => {
    expect(watchArguments(deployment({}), false)).to.deep.equal([
      ...['anomaly', 'watch', '-f', '/etc/anomaly/pipeline/pipeline.yaml'],
    ])
    const sasl = { mechanism: 'Plain', secretRef: { name: 'kafka-user' } }
    expect(watchArguments(deployment({ sasl }), true).slice(4)).to.deep.equal([
      ...['--kafka-username-file', '/etc/anomaly/kafka-sasl/username'],
      ...['--kafka-password-file', '/etc/anomaly/kafka-sasl/password'],
      '--alerts',
    ])
  })
})

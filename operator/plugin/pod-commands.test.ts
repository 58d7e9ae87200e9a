import { expect } from 'chai'
import { desired } from '../desired/desired.ts'
import { testObserved, testParent } from '../desired/test-parent.ts'
import { modelsArguments, watchArguments } from './pod-commands.ts'

const settings = { workloadImage: 'anomaly:1', redisImage: 'redis:8', logLevel: 'info' }

const deployment = (source: object, role = 'consumer', rest: object = {}) => {
  const parent = testParent({ source: { brokers: ['kafka:9092'], ...source }, ...rest })
  return desired(parent, testObserved(parent), settings).find(
    ({ kind, metadata }) => kind === 'Deployment' && metadata.name === `payments-${role}`,
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

describe('modelsArguments', () => {
  it('lists the models with the access to Redis that inference has', () => {
    const command = ['anomaly', 'models', '-f', '/etc/anomaly/pipeline/pipeline.yaml']
    expect(modelsArguments(deployment({}, 'inference'))).to.deep.equal(command)
    const external = {
      urlSecretRef: { name: 'redis', key: 'url' },
      tls: { caSecretRef: { name: 'redis-ca', key: 'ca.crt' } },
    }
    expect(modelsArguments(deployment({}, 'inference', { state: { redis: { external } } }))).to.deep.equal([
      ...command,
      ...['--redis-ca-file', '/etc/anomaly/redis-ca/ca.crt'],
    ])
  })
})

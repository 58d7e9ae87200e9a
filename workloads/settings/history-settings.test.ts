import { expect } from 'chai'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { historySettingsOf } from './history-settings.ts'

const ref = { name: 'history', key: 'url' }

function settingsOf(postgres: object, args: object = {}, metadata: object = { name: 'payments', namespace: 'shop' }) {
  const pipeline = parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata,
    spec: { source: { brokers: ['kafka:9092'] }, history: { postgres: { urlSecretRef: ref, ...postgres } } },
  })
  return historySettingsOf(pipeline, { postgresUrl: 'postgresql://me@db/history', ...args })!
}

describe('Settings of the history', () => {
  it('are those of the pipeline, with a schema of its own', () => {
    const { schema, retentionDays, keep, address } = settingsOf({})
    expect({ schema, retentionDays, keep }).to.deep.equal({
      ...{ schema: 'anomaly_shop_payments', retentionDays: 30, keep: 'All' },
    })
    expect(address.tls).to.equal(undefined)
    expect(settingsOf({ tls: {}, retentionDays: 7, keep: 'Alerts' })).to.include({ retentionDays: 7, keep: 'Alerts' })
    expect(settingsOf({ tls: {} }).address.tls).to.deep.equal({})
  })

  it('name schemas apart that PostgreSQL would cut to the same', () => {
    const [one, two] = ['a', 'b'].map(
      (end) => settingsOf({}, {}, { name: 'p'.repeat(40), namespace: `${'n'.repeat(62)}${end}` }).schema,
    )
    expect([one!.length, two!.length]).to.deep.equal([63, 63])
    expect(one).not.to.equal(two)
  })

  const refusals: readonly (readonly [string, object, object, RegExp])[] = [
    ['no address', {}, { postgresUrl: undefined }, /urlSecretRef names a Secret: give its entry as --postgres-url/],
    ['an authority that is not given', { tls: { caSecretRef: ref } }, {}, /--postgres-ca-file/],
    ['a certificate that is not given', { tls: { certificateSecretRef: { name: 'own' } } }, {}, /--postgres-cert-file/],
    ['a certificate without its key', {}, { postgresCertFile: 'tls.crt' }, /go together/],
  ]
  for (const [what, postgres, args, message] of refusals)
    it(`refuse ${what}`, () => expect(() => settingsOf(postgres, args)).to.throw(message))
})

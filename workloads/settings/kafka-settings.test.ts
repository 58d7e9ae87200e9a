import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { createLogger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { brokerSettingsOf, type KafkaArguments, kafkaSettingsOf } from './kafka-settings.ts'

const log = await createLogger({ level: 'silent' })

describe('Settings of Kafka', () => {
  const folder = mkdtempSync(join(tmpdir(), 'anomaly-kafka-settings-'))
  after(() => rmSync(folder, { recursive: true }))

  function fileOf(name: string, text: string): string {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }

  function settingsOf(source: object = {}, args: KafkaArguments = {}) {
    const { log: _, ...settings } = kafkaSettingsOf(
      parsePipeline({
        apiVersion: 'anomaly.com/v1alpha1',
        kind: 'AnomalyPipeline',
        metadata: { name: 'payments' },
        spec: { source: { brokers: ['one:9092', 'two:9092'], ...source } },
      }),
      args,
      log,
    )
    return settings
  }

  const plain = { brokers: ['one:9092', 'two:9092'], clientId: 'anomaly-default-payments' }
  const sasl = { mechanism: 'ScramSha512', secretRef: { name: 'kafka' } }

  it('are the brokers of the pipeline where it asks for nothing else', () => {
    expect(settingsOf()).to.deep.equal(plain)
  })

  it('turn TLS on where the pipeline says so, if only with the public authorities', () => {
    expect(settingsOf({ tls: {} })).to.deep.equal({ ...plain, tls: {} })
  })

  it('take name and password from files, without the end of their line', () => {
    const args = {
      kafkaUsernameFile: fileOf('username', 'anomaly\n'),
      kafkaPasswordFile: fileOf('password', ' s3cret '),
    }
    const login = { mechanism: 'ScramSha512', username: 'anomaly', password: ' s3cret ' }
    expect(settingsOf({ sasl }, args)).to.deep.equal({ ...plain, sasl: login })
  })

  const refusals: readonly (readonly [string, object, KafkaArguments, RegExp])[] = [
    ['a user without a mechanism', {}, { kafkaUsernameFile: 'username' }, /no source\.sasl/],
    ['a mechanism without a user', { sasl }, {}, /--kafka-username-file and --kafka-password-file/],
    ['an authority that is not given', { tls: { caSecretRef: { name: 'ca', key: 'ca.crt' } } }, {}, /--kafka-ca-file/],
    ['a certificate that is not given', { tls: { certificateSecretRef: { name: 'own' } } }, {}, /--kafka-cert-file/],
    ['a certificate without its key', {}, { kafkaCertFile: 'tls.crt' }, /go together/],
    ['a file that is not there', {}, { kafkaCaFile: '/nowhere/ca.crt' }, /Cannot read \/nowhere\/ca\.crt/],
    [
      'a certificate that is none',
      {},
      { kafkaCertFile: fileOf('tls.crt', 'none'), kafkaKeyFile: fileOf('tls.key', 'none') },
      /the certificates are of no use/,
    ],
    [
      'an empty password',
      { sasl },
      { kafkaUsernameFile: fileOf('name', 'anomaly'), kafkaPasswordFile: fileOf('empty', '\n') },
      /it must hold one line/,
    ],
  ]
  for (const [what, source, args, message] of refusals)
    it(`refuse ${what}`, () => expect(() => settingsOf(source, args)).to.throw(message))

  it('of brokers that no pipeline names are those of the flags', () => {
    const args = {
      brokers: ['one:9092'],
      kafkaTls: true,
      kafkaSaslMechanism: 'Plain' as const,
      kafkaUsernameFile: fileOf('username', 'anomaly\n'),
      kafkaPasswordFile: fileOf('password', 's3cret'),
    }
    const { log: _, ...settings } = brokerSettingsOf(args, 'replay', log)
    expect(settings).to.deep.equal({
      brokers: ['one:9092'],
      clientId: 'replay',
      tls: {},
      sasl: { mechanism: 'Plain', username: 'anomaly', password: 's3cret' },
    })
    expect(() => brokerSettingsOf({ ...args, kafkaPasswordFile: undefined }, 'replay', log)).to.throw(/go together/)
  })
})

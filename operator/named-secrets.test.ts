import { expect } from 'chai'
import type { Role } from '../lib/pipeline/spec.ts'
import { testParent } from './desired/test-parent.ts'
import { findSecrets, secretsOf } from './named-secrets.ts'
import type { KubeObject } from './runtime/kube-object.ts'

const secret = (name: string, data: Readonly<Record<string, string>>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name },
  data,
})
const { pipeline } = testParent({
  source: {
    brokers: ['kafka:9092'],
    tls: { caSecretRef: { name: 'ca', key: 'ca.pem' } },
    sasl: { mechanism: 'Plain', secretRef: { name: 'user' } },
  },
  state: { redis: { external: { urlSecretRef: { name: 'redis', key: 'url' } } } },
  api: { auth: { mode: 'Bearer', secretRef: { name: 'tokens' } } },
})

describe('secretsOf', () => {
  const names = (role: Role, of = pipeline) => secretsOf(of, role).map(({ name }) => name)

  it('gives each workload the Secrets that it reads, and no other', () => {
    expect(names('consumer')).to.deep.equal(['redis', 'ca', 'user'])
    expect(names('inference')).to.deep.equal(['redis'])
    expect(names('api')).to.deep.equal(['redis', 'ca', 'user', 'tokens'])
    expect(names('recorder')).to.deep.equal([])
  })

  it('gives those of the history to who writes it and to who reads it', () => {
    const tls = { certificateSecretRef: { name: 'history-client' } }
    const history = { postgres: { urlSecretRef: { name: 'history', key: 'url' }, tls } }
    const recorded = testParent({ ...pipeline.spec, history }).pipeline
    expect(names('recorder', recorded)).to.deep.equal(['ca', 'user', 'history', 'history-client'])
    expect(names('api', recorded)).to.include.members(['history', 'history-client'])
    expect(names('consumer', recorded)).to.deep.equal(names('consumer'))
    const found = findSecrets(secretsOf(recorded, 'recorder'), () =>
      secret('any', { 'ca.pem': '', username: '', password: '' }),
    )
    expect(found.problem?.message).to.equal('Secret history (spec.history.postgres.urlSecretRef) has no entry url')
  })
})

describe('secretsOf a pipeline that tells of episodes', () => {
  it('gives the recorder those of each receiver, and nobody else', () => {
    const notifications = [
      { name: 'chat', slack: { urlSecretRef: { name: 'slack', key: 'url' } } },
      { name: 'alerts', alertmanager: { url: 'http://am:9093', basicSecretRef: { name: 'am' } } },
    ]
    const told = testParent({ notifications, results: { episodesTopic: 'episodes' } }).pipeline
    expect(secretsOf(told, 'recorder')).to.deep.equal([
      { name: 'slack', keys: ['url'], field: 'spec.notifications[0].slack.urlSecretRef' },
      { name: 'am', keys: ['username', 'password'], field: 'spec.notifications[1].alertmanager.basicSecretRef' },
    ])
    expect(secretsOf(told, 'api')).to.deep.equal([])
  })
})

describe('ConfigMaps with models', () => {
  const onnx = { from: { configMap: { name: 'models', key: 'fraud.onnx' } }, inputs: ['value'] }
  const own = testParent({ ...pipeline.spec, detection: { detectors: [{ name: 'mine', onnx }] } }).pipeline
  const uses = secretsOf(own, 'inference')
  const map = (content: object) => ({ ...secret('models', {}), kind: 'ConfigMap', ...content })
  const found = (configMap: KubeObject | null | undefined) =>
    findSecrets(uses, (_, kind) => (kind === 'ConfigMap' ? configMap : secret('redis', { url: 'cmVkaXM=' })))

  it('are read by inference alone, and looked for', () => {
    expect(uses.map(({ kind, name }) => [kind, name])).to.deep.equal([
      [undefined, 'redis'],
      ['ConfigMap', 'models'],
    ])
    expect(secretsOf(own, 'consumer').some(({ kind }) => kind === 'ConfigMap')).to.equal(false)
    expect(found(null).problem).to.deep.equal({
      reason: 'ConfigMapMissing',
      message: 'ConfigMap models (spec.detection.detectors[mine].onnx.from.configMap) does not exist',
      stalled: true,
    })
    expect(found(undefined).problem!.reason).to.equal('ConfigMapUnreadable')
    expect(found(map({ binaryData: { other: 'AA==' } })).problem!.message).to.include('has no entry fraud.onnx')
  })

  it('count for the hash with the entry that is read', () => {
    const hash = found(map({ binaryData: { 'fraud.onnx': 'AA==' } })).hash
    expect(hash).to.be.a('string')
    expect(found(map({ binaryData: { 'fraud.onnx': 'AA==', other: 'AQ==' } })).hash).to.equal(hash)
    expect(found(map({ binaryData: { 'fraud.onnx': 'AQ==' } })).hash).to.not.equal(hash)
  })
})

describe('findSecrets', () => {
  const uses = secretsOf(pipeline, 'consumer')
  const all = [
    secret('redis', { url: 'cmVkaXM=' }),
    secret('ca', { 'ca.pem': 'eA==', other: 'eQ==' }),
    secret('user', { username: 'dQ==', password: 'cA==' }),
  ]
  const from = (secrets: readonly KubeObject[]) => (name: string) =>
    secrets.find(({ metadata }) => metadata.name === name) ?? null
  const replaced = (changed: KubeObject) => [
    ...all.filter(({ metadata }) => metadata.name !== changed.metadata.name),
    changed,
  ]

  it('changes its hash with an entry that is read, and with no other', () => {
    const { hash } = findSecrets(uses, from(all))
    expect(hash).to.match(/^[0-9a-f]{16}$/)
    expect(findSecrets(uses, from(replaced(secret('ca', { 'ca.pem': 'eA==' })))).hash).to.equal(hash)
    expect(findSecrets(uses, from(replaced(secret('ca', { 'ca.pem': 'eg==' })))).hash).to.not.equal(hash)
  })

  it('says what is missing and who named it', () => {
    const { problem } = findSecrets(uses, from(all.slice(0, 2)))
    expect(problem).to.deep.equal({
      reason: 'SecretMissing',
      message: 'Secret user (spec.source.sasl.secretRef) does not exist',
      stalled: true,
    })
    const without = findSecrets(uses, from(replaced(secret('user', { username: 'dQ==' }))))
    expect(without.problem?.message).to.equal('Secret user (spec.source.sasl.secretRef) has no entry password')
    const empty = findSecrets(secretsOf(pipeline, 'api'), from([...all, secret('tokens', {})]))
    expect(empty.problem?.message).to.equal('Secret tokens (spec.api.auth.secretRef) is empty')
  })

  it('tells what cannot be read from what does not exist', () => {
    expect(findSecrets(uses, () => undefined).problem).to.include({ reason: 'SecretUnreadable', stalled: false })
  })
})

import { expect } from 'chai'
import { parsePipeline } from './parse-pipeline.ts'
import {
  resolveDecision,
  resolveDetectors,
  resolveFeatures,
  resolveGroup,
  resolveRedis,
  resolveRoles,
  resolveScaling,
} from './resolve-pipeline.ts'
import { roles } from './spec.ts'

const pipeline = (spec: object = {}) =>
  parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'payments', namespace: 'shop' },
    spec: { source: { brokers: ['kafka:9092'] }, ...spec },
  })

describe('resolveDetectors', () => {
  const detectors = (stated?: object[]) =>
    resolveDetectors(pipeline({ detection: { detectors: stated } }).spec.detection)

  it('takes profile and forest where none is given', () => {
    expect(detectors()).to.deep.equal([
      { name: 'profile', type: 'profile', halfLifeEvents: 500 },
      { name: 'forest', type: 'isolationForest', trees: 100, sampleSize: 256, refitEvents: 5000 },
    ])
  })

  it('fills in the options that are not given', () => {
    const stated = [
      { name: 'quick', profile: { halfLifeEvents: 70 } },
      { name: 'small', isolationForest: { trees: 10, refitEvents: 1000 } },
      { name: 'series', discord: {} },
    ]
    expect(detectors(stated)).to.deep.equal([
      { name: 'quick', type: 'profile', halfLifeEvents: 70 },
      { name: 'small', type: 'isolationForest', trees: 10, sampleSize: 256, refitEvents: 1000 },
      { name: 'series', type: 'discord' },
    ])
  })
})

describe('resolveDecision', () => {
  const decision = (detection: object) => resolveDecision(pipeline({ detection }).spec.detection)

  it('keeps to a budget of 1000 alerts per million where nothing is said', () => {
    expect(decision({})).to.deep.equal({ type: 'alertBudget', perMillion: 1000, mode: 'Quota' })
    expect(decision({ alertBudgetPerMillion: 5 })).to.deep.equal({ type: 'alertBudget', perMillion: 5, mode: 'Quota' })
    expect(decision({ alertBudget: { perMillion: 5 } })).to.deep.equal(decision({ alertBudgetPerMillion: 5 }))
    expect(decision({ alertBudget: { mode: 'Ceiling' } })).to.include({ perMillion: 1000, mode: 'Ceiling' })
  })

  it('takes a fixed anomaly score', () => {
    expect(decision({ threshold: '0.988' })).to.deep.equal({ type: 'threshold', anomalyScore: 0.988 })
  })
})

describe('resolveFeatures', () => {
  const features = (event: object) => resolveFeatures(pipeline({ event }).spec.event)

  it('looks in the object `features` where nothing is said', () => {
    expect(features({})).to.deep.equal({ type: 'object', field: 'features' })
  })

  it('takes another object, none, or fields of the event itself', () => {
    expect(features({ features: 'payload.numbers' })).to.deep.equal({ type: 'object', field: 'payload.numbers' })
    expect(features({ features: '' })).to.deep.equal({ type: 'none' })
    expect(features({ featureFields: ['amount', 'x*'] })).to.deep.equal({ type: 'fields', names: ['amount', 'x*'] })
  })
})

describe('resolveGroup', () => {
  const groupOf = (namespace: string, name: string) => resolveGroup({ ...pipeline(), metadata: { namespace, name } })

  it('is made of namespace and name where none is given', () => {
    expect(resolveGroup(pipeline())).to.deep.equal({
      groupId: 'anomaly_shop_payments',
      formerGroupId: 'anomaly-shop-payments',
    })
    expect(resolveGroup(pipeline({ source: { brokers: ['a:1'], groupId: 'mine' } }))).to.deep.equal({ groupId: 'mine' })
  })

  it('is never the same for two pipelines, wherever their names are cut', () => {
    const name = 'team-a-b-payments.v2'
    const cuts = [...name].flatMap((letter, at) => (letter === '-' ? [[name.slice(0, at), name.slice(at + 1)]] : []))
    const groups = cuts.map(([namespace, rest]) => groupOf(namespace!, rest!))
    expect(new Set(groups.map(({ groupId }) => groupId)).size).to.equal(cuts.length)
    expect(new Set(groups.map(({ formerGroupId }) => formerGroupId)).size).to.equal(1)
  })
})

describe('resolveScaling', () => {
  it('lets consumers follow the lag and keeps two of each other workload but the recorder where nothing is said', () => {
    const { spec } = pipeline()
    expect(roles.map((role) => resolveScaling(spec, role))).to.deep.equal([
      {
        type: 'autoscaling',
        minReplicas: 1,
        maxReplicas: 8,
        targetCpuPercent: 70,
        targetLag: 10_000,
        mode: 'Automatic',
      },
      { type: 'fixed', replicas: 2 },
      { type: 'fixed', replicas: 2 },
      { type: 'fixed', replicas: 1 },
    ])
  })

  it('takes replicas or autoscaling as given, with what autoscaling leaves out', () => {
    const { spec } = pipeline({ consumer: { replicas: 3 }, api: { autoscaling: { maxReplicas: 4 } } })
    expect(resolveScaling(spec, 'consumer')).to.deep.equal({ type: 'fixed', replicas: 3 })
    expect(resolveScaling(spec, 'api')).to.deep.equal({
      type: 'autoscaling',
      minReplicas: 2,
      maxReplicas: 4,
      targetCpuPercent: 70,
    })
  })
})

describe('resolveRoles', () => {
  it('has a recorder where there is something to record or somebody to tell', () => {
    const judging = ['consumer', 'inference', 'api']
    const rolesOf = (spec: object) => resolveRoles(pipeline(spec).spec)
    expect(rolesOf({})).to.deep.equal(judging)
    expect(rolesOf({ notifications: [], recorder: { replicas: 2 } })).to.deep.equal(judging)
    const history = { postgres: { urlSecretRef: { name: 'history', key: 'url' } } }
    expect(rolesOf({ history })).to.deep.equal([...judging, 'recorder'])
    const notifications = [{ name: 'chat', slack: { urlSecretRef: { name: 'slack', key: 'url' } } }]
    expect(rolesOf({ notifications, results: { episodesTopic: 'episodes' } })).to.deep.equal([...judging, 'recorder'])
  })
})

describe('resolveRedis', () => {
  const redis = (stated: object) => resolveRedis(pipeline({ state: { redis: stated } }))

  it('is a managed one where nothing is said', () => {
    expect(redis({})).to.deep.equal({
      type: 'managed',
      replicas: 1,
      memoryMebibytes: 256,
      storage: { type: 'Persistent', size: '1Gi', whenDeleted: 'Delete' },
    })
    expect(redis({ managed: { storage: { storageClassName: 'fast' } } })).to.deep.equal({
      type: 'managed',
      replicas: 1,
      memoryMebibytes: 256,
      storage: { type: 'Persistent', size: '1Gi', whenDeleted: 'Delete', storageClassName: 'fast' },
    })
  })

  it('prefixes the keys in an external one, which others may share', () => {
    const urlSecretRef = { name: 'redis', key: 'url' }
    expect(redis({ external: { urlSecretRef } })).to.deep.equal({
      type: 'external',
      urlSecretRef,
      keyPrefix: 'anomaly:shop:payments:',
    })
    expect(redis({ external: { urlSecretRef, keyPrefix: 'mine:', tls: {} } })).to.deep.equal({
      type: 'external',
      urlSecretRef,
      keyPrefix: 'mine:',
      tls: {},
    })
  })
})

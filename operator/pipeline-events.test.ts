import { expect } from 'chai'
import type { PipelineStatus } from '../lib/pipeline/status.ts'
import { eventsOfStatus, eventsOfSync, eventsOfWorkloads } from './pipeline-events.ts'
import type { KubeObject } from './runtime/kube-object.ts'

function deployment(mark: string, annotations: Readonly<Record<string, string>> = {}, image = 'anomaly:1'): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'payments-api', namespace: 'shop', annotations: { 'anomaly.com/replicas': mark } },
    spec: { template: { metadata: { annotations }, spec: { containers: [{ name: 'api', image }] } } },
  }
}
const fixed = deployment('fixed')
const words = (before: KubeObject, after: KubeObject) =>
  eventsOfWorkloads({ api: before }, { api: after }).map(({ reason, message }) => `${reason} ${message}`)

describe('eventsOfWorkloads', () => {
  it('has nothing to tell of what is new, or the same', () => {
    expect(eventsOfWorkloads({}, { api: fixed })).to.deep.equal([])
    expect(words(fixed, deployment('fixed'))).to.deep.equal([])
  })

  it('says why pods are replaced', () => {
    const rolled = (annotations: Readonly<Record<string, string>>, image?: string) =>
      words(fixed, deployment('fixed', annotations, image))
    expect(rolled({ 'anomaly.com/restart-at': 'now' })).to.deep.equal([
      'RollingOut api: the pods are replaced, because restart-at changed',
    ])
    expect(rolled({ 'anomaly.com/secrets': '1', 'anomaly.com/configuration': '2' })).to.deep.equal([
      'RollingOut api: the pods are replaced, because the document and a Secret changed',
    ])
    expect(rolled({}, 'anomaly:2')).to.deep.equal([
      'RollingOut api: the pods are replaced, because their image or template changed',
    ])
  })

  it('says who counts the replicas', () => {
    expect(words(fixed, deployment('autoscaled'))[0]).to.match(/^AutoscalingOn /)
    expect(words(deployment('autoscaled'), deployment('5'))[0]).to.match(/^AutoscalingOff /)
    expect(words(deployment('5'), fixed)).to.deep.equal([])
  })
})

describe('eventsOfSync', () => {
  it('tells once what was created, who changed what and that it was healed, and what was deleted', () => {
    const drift = { fields: ['spec.replicas', 'spec.paused'], managers: ['kubectl-edit'] }
    const applied = (['created', 'updated', 'healed', 'unchanged', 'created'] as const).map((outcome) => ({
      object: fixed,
      outcome,
      drift: outcome === 'healed' ? drift : undefined,
    }))
    const events = eventsOfSync({ applied, pruned: [fixed], skipped: [], failures: [] })
    expect(events.map(({ reason, message }) => `${reason} ${message}`)).to.deep.equal([
      'Created Deployment payments-api, Deployment payments-api created',
      'DriftHealed Deployment payments-api: spec.replicas, spec.paused changed by kubectl-edit; set right',
      'Pruned Deployment payments-api no longer asked for; deleted',
    ])
  })
})

describe('eventsOfStatus', () => {
  const ready = (status: 'True' | 'False', reason: string, stalled = false): PipelineStatus => {
    const condition = { status, reason, message: 'why', lastTransitionTime: '2025-06-01T12:00:00Z' }
    const stalling = { ...condition, type: 'Stalled', status: 'True' } as const
    return { conditions: [{ ...condition, type: 'Ready' }, ...(stalled ? [stalling] : [])] }
  }
  const told = (before: PipelineStatus, after: PipelineStatus) =>
    eventsOfStatus(before, after).map(({ type, reason }) => `${type} ${reason}`)

  it('tells what became well, and what somebody must do', () => {
    expect(told({}, ready('True', 'AllReady'))).to.deep.equal(['Normal AllReady'])
    expect(told({}, ready('False', 'SecretMissing', true))).to.deep.equal(['Warning SecretMissing'])
    expect(told(ready('True', 'AllReady'), ready('False', 'SourceUnreachable'))).to.deep.equal([
      'Warning SourceUnreachable',
    ])
  })

  it('is silent about what passes by itself, and about what was told', () => {
    expect(told(ready('True', 'AllReady'), ready('False', 'ConsumerNotReady'))).to.deep.equal([])
    expect(told(ready('True', 'AllReady'), ready('True', 'AllReady'))).to.deep.equal([])
  })

  it('warns of what becomes stalled although its reason stays the same', () => {
    expect(told(ready('False', 'RedisNotReady'), ready('False', 'RedisNotReady', true))).to.deep.equal([
      'Warning RedisNotReady',
    ])
    expect(told(ready('False', 'RedisNotReady', true), ready('False', 'RedisNotReady', true))).to.deep.equal([])
  })

  it('warns once of a model that was refused, and of one that took over all the same', () => {
    const candidate = (version: string, outcome: 'Refused' | 'Forced'): PipelineStatus => ({
      model: { version: 'v1', candidate: { version, outcome, message: 'out of bounds' } },
    })
    expect(eventsOfStatus({ model: { version: 'v1' } }, candidate('v2', 'Refused'))).to.deep.equal([
      { type: 'Warning', reason: 'ModelRefused', message: 'Model v2 does not take over: out of bounds' },
    ])
    expect(told(candidate('v2', 'Refused'), candidate('v2', 'Refused'))).to.deep.equal([])
    expect(told(candidate('v2', 'Refused'), candidate('v3', 'Forced'))).to.deep.equal(['Warning ModelForced'])
  })

  it('warns of what degrades a pipeline, and tells when that is over', () => {
    const degraded = (status: 'True' | 'False', reason: string): PipelineStatus => {
      const condition = { type: 'Degraded', status, reason, message: 'why' } as const
      return { conditions: [{ ...condition, lastTransitionTime: '2025-06-01T12:00:00Z' }] }
    }
    expect(told(degraded('False', 'AsExpected'), degraded('True', 'StateUnavailable'))).to.deep.equal([
      'Warning StateUnavailable',
    ])
    expect(told(degraded('True', 'StateUnavailable'), degraded('True', 'OffsetsLost'))).to.deep.equal([
      'Warning OffsetsLost',
    ])
    expect(told(degraded('True', 'OffsetsLost'), degraded('False', 'AsExpected'))).to.deep.equal(['Normal Recovered'])
  })
})

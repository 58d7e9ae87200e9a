import { expect } from 'chai'
import { child, type Parent } from '../desired/child.ts'
import { pipelineFile } from '../desired/pipeline-file.ts'
import { testParent } from '../desired/test-parent.ts'
import { deployments, jobs, statefulSets } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { type MoveInput, moveState, presentOf } from './redis-move.ts'

const external = { urlSecretRef: { name: 'redis', key: 'url' } }
const managedParent = testParent()
const externalParent = testParent({ state: { redis: { external } } })
const [managed, shared] = [managedParent.pipeline, externalParent.pipeline]

describe('presentOf', () => {
  const present = (wanted: Parent, before: Parent) => presentOf(wanted.pipeline, pipelineFile(before))

  it('is the pipeline as its document has it, with the Redis in which it learnt', () => {
    const large = testParent({ state: { redis: { managed: { memoryMebibytes: 512 } } }, api: { replicas: 5 } })
    const { spec } = present(externalParent, large)
    expect(spec.state.redis).to.deep.equal({ managed: { memoryMebibytes: 512 } })
    expect(spec.api).to.deep.equal(shared.spec.api)
    expect(present(managedParent, externalParent).spec.state.redis).to.deep.equal({ external })
  })

  it('is its document where nothing has to be copied', () => {
    expect(presentOf(shared, undefined)).to.equal(shared)
    expect(present(externalParent, externalParent)).to.equal(shared)
    const renamed = testParent({ state: { redis: { external: { urlSecretRef: { name: 'other', key: 'url' } } } } })
    expect(present(renamed, externalParent)).to.equal(renamed.pipeline)
    const said = { ...external, keyPrefix: 'anomaly:shop:payments:' }
    const explicit = testParent({ state: { redis: { external: said } } })
    expect(present(explicit, externalParent)).to.equal(explicit.pipeline)
  })

  it('has the former prefix in a shared Redis', () => {
    const other = testParent({ state: { redis: { external: { ...external, keyPrefix: 'mine:' } } } })
    expect(present(other, externalParent).spec.state.redis).to.deep.equal({ external })
  })
})

describe('moveState', () => {
  const of = (kind: typeof deployments, name: string, replicas: number, counts: object = {}): KubeObject => ({
    ...child(managedParent, kind, name, { spec: { replicas } }),
    status: { observedGeneration: 1, replicas, readyReplicas: replicas, ...counts },
  })
  const workloads = (replicas: number) => ({
    consumer: of(deployments, 'consumer', replicas),
    inference: of(deployments, 'inference', replicas),
    api: of(deployments, 'api', replicas),
    redis: of(statefulSets, 'redis', 1),
  })
  const pod = (phase: string, message?: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'payments-pod' },
    status: {
      phase,
      containerStatuses: [{ name: 'redis-copy', ready: false, state: { terminated: { exitCode: 1, message } } }],
    },
  })
  const job = (type?: string): KubeObject => ({
    ...child(managedParent, jobs, 'redis-copy', {}),
    status: type === undefined ? {} : { conditions: [{ type, status: 'True', message: 'BackoffLimitExceeded' }] },
  })
  const state = (changes: Partial<MoveInput> = {}) =>
    moveState({ present: managed, wanted: shared, workloads: workloads(2), pods: {}, copyPods: [], ...changes })
  const phase = (changes: Partial<MoveInput> = {}) => state(changes).phase

  it('stops who writes, and copies when nobody does any more', () => {
    expect(phase()).to.equal('Stopping')
    const leaving = { ...workloads(0), api: of(deployments, 'api', 0, { replicas: 1 }) }
    expect(phase({ workloads: leaving })).to.equal('Stopping')
    expect(phase({ workloads: workloads(0), pods: { consumer: [pod('Running')] } })).to.equal('Stopping')
    expect(phase({ workloads: workloads(0), pods: { consumer: [pod('Failed')] } })).to.equal('Copying')
    expect(phase({ workloads: workloads(0), job: job() })).to.equal('Copying')
  })

  it('stops nobody before the other Redis can be used', () => {
    const back = { present: shared, wanted: managed }
    const { redis: _, ...withoutRedis } = workloads(2)
    expect(phase({ ...back, workloads: withoutRedis })).to.equal('Preparing')
    const starting = { ...workloads(2), redis: of(statefulSets, 'redis', 2, { readyReplicas: 1 }) }
    expect(phase({ ...back, workloads: starting })).to.equal('Preparing')
    expect(phase(back)).to.equal('Stopping')
    expect(state({ lacking: 'Secret redis does not exist' })).to.deep.equal({
      phase: 'Preparing',
      message: 'What was learnt moves from the managed Redis to the external one: Secret redis does not exist',
    })
  })

  it('is done when the copy is, and no other goes on', () => {
    expect(phase({ job: job('Complete'), copyPods: [pod('Succeeded')] })).to.equal('Done')
    expect(phase({ job: job('Complete'), copyPods: [pod('Succeeded'), pod('Running')] })).to.equal('Copying')
  })

  it('says why a copy failed', () => {
    const failed = state({ job: job('Failed'), copyPods: [pod('Failed', 'a line\nanomaly: it is full\n')] })
    expect(failed.phase).to.equal('CopyFailed')
    expect(failed.message).to.contain('goes on with the managed one: anomaly: it is full.')
    expect(state({ job: job('Failed') }).message).to.contain('BackoffLimitExceeded')
  })

  it('waits while the pipeline is paused, unless it copies already', () => {
    const paused = testParent({ state: { redis: { external } }, desiredState: 'Paused' }).pipeline
    expect(phase({ wanted: paused })).to.equal('Paused')
    expect(phase({ wanted: paused, job: job() })).to.equal('Copying')
    expect(phase({ wanted: paused, job: job('Complete') })).to.equal('Done')
  })
})

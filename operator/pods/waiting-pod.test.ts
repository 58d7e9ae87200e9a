import { expect } from 'chai'
import { waitingReason, waitingReasonOf } from './waiting-pod.ts'

const reasonOf = (status: object, metadata: object = {}) =>
  waitingReason({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', ...metadata }, status })
const container = (state: object, more: object = {}) => ({
  phase: 'Pending',
  containerStatuses: [{ name: 'consumer', ready: false, state, ...more }],
})

describe('waitingReason', () => {
  it('names an image that cannot be pulled', () => {
    const waiting = { reason: 'ImagePullBackOff', message: 'no such image' }
    expect(reasonOf(container({ waiting }))).to.deep.equal(waiting)
  })

  it('says how a container ended that crashes again and again', () => {
    const waiting = { reason: 'CrashLoopBackOff', message: 'back-off 40s' }
    const lastState = { terminated: { reason: 'OOMKilled', exitCode: 137 } }
    expect(reasonOf(container({ waiting }, { lastState }))).to.deep.equal({
      reason: 'CrashLoopBackOff',
      message: 'back-off 40s (it ended with OOMKilled, exit code 137)',
    })
    const failed = { terminated: { reason: 'Error', exitCode: 2, message: 'starting\nCannot read the pipeline\n' } }
    expect(reasonOf(container({ waiting }, { lastState: failed }))?.message).to.equal(
      'back-off 40s (it ended with Error, exit code 2: Cannot read the pipeline)',
    )
  })

  it('names what the scheduler lacks', () => {
    const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: 'insufficient cpu' }
    expect(reasonOf({ phase: 'Pending', conditions: [condition] })).to.deep.equal({
      reason: 'Unschedulable',
      message: 'insufficient cpu',
    })
  })

  it('names a probe that fails', () => {
    const conditions = [{ type: 'Ready', status: 'False', message: 'containers with unready status: [api]' }]
    expect(reasonOf({ ...container({ running: {} }), phase: 'Running', conditions })?.reason).to.equal('ProbeFailing')
  })

  it('has nothing to say of a pod that is starting, that is well, or that is going', () => {
    expect(reasonOf(container({ waiting: { reason: 'ContainerCreating' } }))).to.equal(undefined)
    const conditions = [{ type: 'Ready', status: 'False' }]
    const starting = { ...container({ running: {} }, { started: false }), phase: 'Running', conditions }
    expect(reasonOf(starting)).to.equal(undefined)
    expect(reasonOf({ phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] })).to.equal(undefined)
    const crashing = container({ waiting: { reason: 'CrashLoopBackOff' } })
    expect(reasonOf(crashing, { deletionTimestamp: 'now' })).to.equal(undefined)
  })
})

describe('waitingReasonOf', () => {
  it('lets a pod that waits speak before one that was evicted', () => {
    const pod = (status: object) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, status })
    const evicted = pod({ phase: 'Failed', reason: 'Evicted' })
    const waiting = pod(container({ waiting: { reason: 'ImagePullBackOff' } }))
    expect(waitingReasonOf([evicted, waiting])?.reason).to.equal('ImagePullBackOff')
    expect(waitingReasonOf([evicted])?.reason).to.equal('Evicted')
    expect(waitingReasonOf([])).to.equal(undefined)
  })

  const named = (name: string, created: string, status: object) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, creationTimestamp: created },
    status,
  })
  const conditions = [
    {
      type: 'Ready',
      status: 'False',
      message: 'containers with unready status: [x]',
      lastTransitionTime: '2025-06-01T12:00:30Z',
    },
  ]
  const unready = { ...container({ running: {} }), phase: 'Running', conditions }
  const older = named('older', '2025-06-01T12:00:00Z', unready)

  it('lets the clearest reason speak, and of equal ones the newest', () => {
    const pulling = container({ waiting: { reason: 'ImagePullBackOff', message: 'no such image' } })
    const newer = named('newer', '2025-06-01T13:00:00Z', pulling)
    expect(waitingReasonOf([older, newer])?.reason).to.equal('ImagePullBackOff')
    expect(waitingReasonOf([newer, older])?.reason).to.equal('ImagePullBackOff')
    const other = named('other', '2025-06-01T14:00:00Z', unready)
    expect(waitingReasonOf([older, other], { older: 'models: no answer' })).to.deep.include({
      reason: 'ProbeFailing',
      message: 'older: models: no answer',
    })
    const said = { older: 'old', other: 'new' }
    expect(waitingReasonOf([older, other], said)?.message).to.equal('other: new')
  })

  it('says since when it waits, and whether it goes on until somebody changes something', () => {
    expect(waitingReasonOf([older])).to.include({
      since: '2025-06-01T12:00:30Z',
      needsPerson: false,
      isRepeated: false,
    })
    const unscheduled = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', lastTransitionTime: 'then' }
    const pending = named('p', '', { phase: 'Pending', conditions: [unscheduled] })
    expect(waitingReasonOf([pending])).to.include({ since: 'then', needsPerson: true })
  })

  it('knows a program that crashes again and again from one that was restarted now and then', () => {
    const crashed = (restartCount: number, seconds: number) => {
      const terminated = {
        exitCode: 1,
        startedAt: '2025-06-01T12:00:00Z',
        finishedAt: new Date(Date.UTC(2025, 5, 1, 12) + seconds * 1000).toISOString(),
      }
      const waiting = { reason: 'CrashLoopBackOff', message: 'back-off' }
      return named('p', '', container({ waiting }, { restartCount, lastState: { terminated } }))
    }
    expect(waitingReasonOf([crashed(3, 5)])?.isRepeated).to.equal(true)
    expect(waitingReasonOf([crashed(2, 5)])?.isRepeated).to.equal(false)
    expect(waitingReasonOf([crashed(9, 7200)])?.isRepeated).to.equal(false)
  })
})

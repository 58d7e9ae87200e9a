import { expect } from 'chai'
import type { KubeObject } from '../runtime/kube-object.ts'
import { planReplicas } from './replicas.ts'
import { testParent } from './test-parent.ts'

const autoscaling = { minReplicas: 2, maxReplicas: 8 }
const deployment = (replicas: number, mark?: string): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'payments-api', ...(mark === undefined ? {} : { annotations: { 'anomaly.com/replicas': mark } }) },
  spec: { replicas },
})
const plan = (spec: object, live?: KubeObject, autoscalerExists = false) =>
  planReplicas({ spec: testParent(spec).pipeline.spec, role: 'api', live, autoscalerExists })
const states = (replicas: number, mark = String(replicas)) => ({ replicas, mark, autoscaler: false })

describe('planReplicas', () => {
  it('states the number of the document, and states it again when somebody changes it', () => {
    expect(plan({ api: { replicas: 3 } })).to.deep.equal(states(3, 'fixed'))
    expect(plan({ api: { replicas: 3 } }, deployment(7, 'fixed'))).to.deep.equal(states(3, 'fixed'))
    expect(plan({}, deployment(7, 'fixed'))).to.deep.equal(states(2, 'fixed'))
  })

  it('begins an autoscaled workload with the fewest, and hands the field over when the workload is there', () => {
    expect(plan({ api: { autoscaling } })).to.deep.equal(states(2))
    expect(plan({ api: { autoscaling } }, deployment(2, '2'))).to.deep.equal({
      mark: 'autoscaled',
      handOver: true,
      autoscaler: true,
    })
  })

  it('says nothing of replicas while an HPA does', () => {
    expect(plan({ api: { autoscaling } }, deployment(5, 'autoscaled'), true)).to.deep.equal({
      mark: 'autoscaled',
      autoscaler: true,
    })
  })

  it('hands over a fixed number as it is', () => {
    expect(plan({ api: { autoscaling } }, deployment(5, 'fixed')).handOver).to.equal(true)
  })

  it('lets the HPA go first when autoscaling is switched off, then takes over what it left', () => {
    expect(plan({}, deployment(6, 'autoscaled'), true)).to.deep.equal({ mark: 'autoscaled', autoscaler: false })
    expect(plan({}, deployment(6, 'autoscaled'))).to.deep.equal(states(6))
    expect(plan({}, deployment(9, '6'))).to.deep.equal(states(6))
    expect(plan({ api: { replicas: 4 } }, deployment(6, 'autoscaled'))).to.deep.equal(states(4, 'fixed'))
  })

  it('remembers while paused how many there were', () => {
    const paused = { desiredState: 'Paused' }
    expect(plan({ ...paused, api: { autoscaling } }, deployment(6, 'autoscaled'))).to.deep.equal(states(0, '6'))
    expect(plan({ ...paused, api: { autoscaling } }, deployment(0, '6'))).to.deep.equal(states(0, '6'))
    expect(plan(paused)).to.deep.equal(states(0, '2'))
  })

  it('resumes with what there was, within the bounds, before it hands over', () => {
    expect(plan({ api: { autoscaling } }, deployment(0, '6'))).to.deep.equal(states(6))
    expect(plan({ api: { autoscaling: { maxReplicas: 4 } } }, deployment(0, '6'))).to.deep.equal(states(4))
    expect(plan({ api: { autoscaling } }, deployment(6, '6')).handOver).to.equal(true)
    expect(plan({}, deployment(0, '6'))).to.deep.equal(states(6))
  })

  it('wakes what somebody scaled to nothing, which no HPA would', () => {
    expect(plan({ api: { autoscaling } }, deployment(0, 'autoscaled'), true)).to.deep.equal(states(2))
  })
})

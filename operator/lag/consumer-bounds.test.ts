import { expect } from 'chai'
import { testParent } from '../desired/test-parent.ts'
import { consumerBounds, type LagDemand } from './consumer-bounds.ts'

const bounds = (consumer: object, demand: LagDemand = {}) => consumerBounds(testParent({ consumer }).pipeline, demand)
const of = (minReplicas: number, maxReplicas: number) => ({ minReplicas, maxReplicas })
const autoscaling = of(2, 8)

describe('consumerBounds', () => {
  it('are those of the document until the topic was looked at', () => {
    expect(bounds({ autoscaling })?.applied).to.deep.equal(of(2, 8))
    expect(bounds({ replicas: 3 })).to.equal(undefined)
  })

  it('rise with the lag, within the document and the partitions', () => {
    expect(bounds({ autoscaling }, { partitions: 12, floor: 5 })?.applied).to.deep.equal(of(5, 8))
    expect(bounds({ autoscaling }, { partitions: 12, floor: 1 })?.applied).to.deep.equal(of(2, 8))
    expect(bounds({ autoscaling }, { partitions: 4, floor: 5 })?.applied).to.deep.equal(of(4, 4))
    expect(bounds({ autoscaling }, { partitions: 0, floor: 1 })?.applied).to.deep.equal(of(1, 1))
  })

  it('follow a document that changed since the topic was looked at', () => {
    const demand = { partitions: 12, floor: 6 }
    expect(bounds({ autoscaling: of(1, 3) }, demand)?.applied).to.deep.equal(of(3, 3))
    expect(bounds({ autoscaling: of(7, 20) }, demand)?.applied).to.deep.equal(of(7, 12))
  })

  it('are only told with mode Recommend', () => {
    expect(bounds({ autoscaling: { ...autoscaling, mode: 'Recommend' } }, { partitions: 6, floor: 5 })).to.deep.equal({
      recommended: of(5, 6),
      applied: of(2, 6),
    })
  })
})

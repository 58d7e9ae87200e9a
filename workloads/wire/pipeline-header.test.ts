import { expect } from 'chai'
import { isOfPipeline, pipelineHeader } from './pipeline-header.ts'

describe('pipelineHeader', () => {
  it('tells the verdicts of one pipeline from those of another', () => {
    const headers = pipelineHeader('payments')
    expect(headers).to.deep.equal({ 'anomaly-pipeline': Buffer.from('payments') })
    expect(isOfPipeline(headers, 'payments')).to.equal(true)
    expect(isOfPipeline(headers, 'metrics')).to.equal(false)
  })

  it('leaves in what says nothing of its pipeline', () => {
    expect(isOfPipeline({}, 'payments')).to.equal(true)
    expect(isOfPipeline(undefined, 'payments')).to.equal(true)
  })
})

import { expect } from 'chai'
import { pipelineOf } from '../../../lib/pipeline/load-pipeline.ts'
import { withBudget, withDetection } from './alternatives.ts'
import { changesOf, proposedText } from './proposed-text.ts'

const text = `# Ours.
apiVersion: anomaly.com/v1alpha1
kind: AnomalyPipeline
metadata: { name: test }
spec:
  source: { brokers: ['localhost:9092'] } # the broker
  detection:
    alertBudgetPerMillion: 300 # agreed
    # Nobody looks at night.
    refractorySeconds: 60
`

describe('proposedText()', () => {
  const given = pipelineOf(text, 'test.yaml')
  const discord = [{ name: 'discord', discord: {} }]

  it('changes what is proposed, and keeps the comments on the rest', () => {
    const proposal = withDetection(withBudget(given, 100), { detectors: discord })
    const proposed = proposedText(text, given, proposal)
    expect(pipelineOf(proposed, 'proposed.yaml')).to.deep.equal(proposal)
    const kept = text.split('\n').filter((line) => !line.includes('alertBudgetPerMillion'))
    expect(proposed.split('\n')).to.include.members(kept)
    expect(changesOf(given, proposal)).to.deep.equal([
      'spec.detection.detectors: [{"name":"discord","discord":{}}]',
      'spec.detection.alertBudget: {"perMillion":100}',
      'spec.detection.alertBudgetPerMillion: left out (was 300)',
    ])
  })

  it('makes a detection where the document has none', () => {
    const bare = text.slice(0, text.indexOf('  detection'))
    const pipeline = pipelineOf(bare, 'bare.yaml')
    const proposal = withDetection(pipeline, { detectors: discord })
    expect(pipelineOf(proposedText(bare, pipeline, proposal), 'proposed.yaml')).to.deep.equal(proposal)
  })

  it('is the same text where nothing is proposed', () => {
    expect(proposedText(text, given, given)).to.equal(text)
    expect(changesOf(given, given)).to.deep.equal([])
  })
})

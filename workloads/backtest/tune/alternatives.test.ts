import { expect } from 'chai'
import { parsePipeline } from '../../../lib/pipeline/parse-pipeline.ts'
import { alternativesTo } from './alternatives.ts'

describe('alternativesTo()', () => {
  const alternatives = (detection: object, event: object = {}) =>
    alternativesTo(
      parsePipeline({
        apiVersion: 'anomaly.com/v1alpha1',
        kind: 'AnomalyPipeline',
        metadata: { name: 'test' },
        spec: { source: { brokers: ['localhost:9092'] }, event, detection },
      }),
    )
  const namesOf = (...given: Parameters<typeof alternatives>) => alternatives(...given).map(({ name }) => name)

  it('begins with the pipeline as it is, and has it once', () => {
    expect(namesOf({})).to.deep.equal(['profile + isolationForest', 'discord', 'discord + profile'])
    const profile = { name: 'p', profile: { halfLifeEvents: 50 } }
    expect(namesOf({ detectors: [profile] })[0]).to.equal('profile')
    expect(namesOf({ detectors: [profile, { name: 'd', discord: {} }] })).to.deep.equal([
      'profile + discord',
      'profile + isolationForest',
      'discord',
    ])
  })

  it('keeps names and options, and models of somebody else', () => {
    const profile = { name: 'p', profile: { halfLifeEvents: 50 } }
    const onnx = { name: 'mine', onnx: { from: { file: 'm.onnx' }, inputs: ['value'] } }
    const [, forest] = alternatives({ detectors: [profile, onnx] })
    expect(forest!.pipeline.spec.detection.detectors).to.deep.equal([
      profile,
      { name: 'forest', isolationForest: {} },
      onnx,
    ])
  })

  it('has the forest alone of rows without time and key', () => {
    expect(namesOf({}, { time: '', key: '' })).to.deep.equal(['profile + isolationForest', 'isolationForest'])
  })
})

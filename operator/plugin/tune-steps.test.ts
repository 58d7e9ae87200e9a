import { expect } from 'chai'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { tuneSteps } from './tune-steps.ts'

describe('tuneSteps()', () => {
  const pipelineOf = (source: object = {}, event: object = {}) =>
    parsePipeline({
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata: { name: 'payments', namespace: 'shop', uid: '1' },
      spec: { source: { brokers: ['kafka:9092', 'other:9092'], topic: 'paid', ...source }, event },
      status: { conditions: [] },
    })
  const get = 'kubectl get anomalypipelines.anomaly.com payments -o yaml'

  it('names the document, the brokers and the topic of the pipeline', () => {
    const steps = tuneSteps(pipelineOf(), get)
    expect(steps).to.include(`\n${get} > payments.yaml\n`)
    expect(steps).to.include('--bootstrap-server kafka:9092,other:9092 --topic paid \\\n')
    expect(steps).to.include('\nanomaly tune -f payments.yaml --input payments.jsonl ')
    expect(steps.match(/^#/gm)).to.have.length(2)
  })

  it('says what else is needed', () => {
    const sasl = { mechanism: 'Plain', secretRef: { name: 'kafka-user' } }
    const steps = tuneSteps(pipelineOf({ sasl, schemaRegistry: { url: 'http://registry:8081' } }, { key: '$key' }), get)
    expect(steps).to.include('--topic paid --consumer.config client.properties \\\n')
    for (const note of [/^# client\.properties/m, /^# Events with a schema/m, /^# Keys of records/m])
      expect(steps).to.match(note)
  })
})

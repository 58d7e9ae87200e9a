import { expect } from 'chai'
import { AppError } from '../errors.ts'
import { parsePipeline } from './parse-pipeline.ts'
import { contradictory, outOfBounds, refusedChanges } from './refused-pipelines.ts'

const source = { brokers: ['kafka:9092'] }
const document = (spec: object = { source }, metadata: object = { name: 'payments' }) => ({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata,
  spec,
})

/** The lines that say why a document is refused. */
function refusal(refused: unknown): string[] {
  try {
    parsePipeline(refused)
  } catch (error) {
    expect(error).to.be.instanceOf(AppError).with.property('code', 'InvalidPipeline')
    return (error as AppError).message.split('\n')
  }
  throw new Error('the document was accepted')
}

describe('parsePipeline', () => {
  it('fills in every static default of a pipeline that only names its brokers', () => {
    expect(parsePipeline(document())).to.deep.equal({
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata: { name: 'payments', namespace: 'default' },
      spec: {
        source: {
          brokers: ['kafka:9092'],
          topic: 'anomaly-events',
          startFrom: 'Latest',
          partitioner: 'Murmur2',
          createTopics: { mode: 'Enabled', partitions: 12 },
        },
        event: { id: 'eventId', time: 'timestamp', key: 'userId', value: 'value' },
        detection: { refractorySeconds: 300, onModelUnavailable: 'Degrade', learnFromCalls: 'Disabled', rules: [] },
        results: { topic: 'payments-verdicts', deadLetterTopic: 'payments-dead-letters', publish: 'All' },
        state: { redis: {}, featureTtlSeconds: 300, profileTtlSeconds: 2_592_000 },
        consumer: {},
        inference: {},
        recorder: {},
        api: { auth: { mode: 'None' }, publishEvents: 'Enabled' },
        monitoring: { serviceMonitor: { interval: '15s' } },
        network: { policy: 'Ingress', egress: [] },
        desiredState: 'Running',
      },
    })
  })

  it('leaves a pipeline that ran with the topics of a former release what it has', () => {
    const former = { topic: 'anomaly-results', deadLetterTopic: 'anomaly-events-dlq' }
    const resultsOf = (results: object, status: object) =>
      parsePipeline({ ...document({ source, results }), status }).spec.results
    expect(resultsOf({}, { results: former })).to.deep.equal({ ...former, publish: 'All' })
    expect(resultsOf({ topic: 'mine' }, { results: former })).to.include({ ...former, topic: 'mine' })
    // Who names a topic and then no more wants the default.
    expect(resultsOf({}, { results: { topic: 'mine' } })).to.include({ topic: 'payments-verdicts' })
  })

  it('reads a field that is null as absent, as the API server does', () => {
    const pipeline = parsePipeline(
      document({ source: { ...source, topic: null }, event: null, detection: { rules: null } }),
    )
    expect(pipeline).to.deep.equal(parsePipeline(document()))
  })

  it('reads what a cluster returns, and keeps of it what was asked for', () => {
    const metadata = {
      name: 'payments',
      namespace: 'shop',
      uid: '1',
      generation: 2,
      managedFields: [{ manager: 'kubectl' }],
    }
    const returned = { ...document({ source }, metadata), status: { observedGeneration: 2 } }
    expect(parsePipeline(returned)).to.deep.equal(
      parsePipeline(document({ source }, { name: 'payments', namespace: 'shop', generation: 2 })),
    )
  })

  it('does not change the document that it reads', () => {
    const given = document({ source, event: null })
    const before = structuredClone(given)
    parsePipeline(given)
    expect(given).to.deep.equal(before)
  })

  for (const { what, metadata, spec, field, message } of [...outOfBounds, ...contradictory])
    it(`refuses ${what}, naming the field, the value and what is allowed`, () => {
      expect(refusal(document(spec, metadata))).to.deep.equal([`${field}: ${message}`])
    })

  for (const { what, before, spec } of refusedChanges)
    it(`accepts ${what} by itself: there is no before`, () => {
      expect(() => parsePipeline(document(before))).not.to.throw()
      expect(() => parsePipeline(document(spec))).not.to.throw()
    })

  it('says everything that is wrong, one line each', () => {
    const wrong = { source: { ...source, topic: '' }, detection: { detecters: [], refractorySeconds: -1 }, sorce: {} }
    expect(refusal(document(wrong))).to.have.members([
      'spec.source.topic: "" must be the name of a Kafka topic: letters, digits, dot, underscore and hyphen',
      'spec.detection.refractorySeconds: -1 must be between 0 and 604800',
      'spec.detection.detecters: unknown field, did you mean "detectors"?',
      'spec.sorce: unknown field, did you mean "source"?',
    ])
  })

  it('refuses unknown fields at every depth', () => {
    const refused = (spec: object) => refusal(document({ source, ...spec }))
    expect(refused({ state: { redis: { managed: { memory: 1 } } } })).to.deep.equal([
      'spec.state.redis.managed.memory: unknown field',
    ])
    expect(refused({ detection: { detectors: [{ name: 'a', isolationForest: { tree: 1 } }] } })).to.deep.equal([
      'spec.detection.detectors[0].isolationForest.tree: unknown field, did you mean "trees"?',
    ])
    expect(refusal(document({ source }, { name: 'a', namspace: 'b' }))).to.deep.equal([
      'metadata.namspace: unknown field, did you mean "namespace"?',
    ])
  })

  it('says only that it is of another kind where it is', () => {
    expect(refusal({ apiVersion: 'apps/v1', kind: 'Deployment', spec: { replicas: 1 } })).to.deep.equal([
      'apiVersion: "apps/v1" must be "anomaly.com/v1alpha1"',
      'kind: "Deployment" must be "AnomalyPipeline"',
    ])
    expect(refusal({ metadata: {} })).to.deep.equal(['apiVersion: is required', 'kind: is required'])
  })

  it('refuses what is no document at all', () => {
    expect(refusal('payments')).to.deep.equal(['document: "payments" must be an object'])
    expect(refusal([])).to.deep.equal(['document: [] must be an object'])
    expect(refusal(undefined)).to.deep.equal(['document: is required'])
  })
})

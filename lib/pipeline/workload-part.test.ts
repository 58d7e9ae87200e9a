import { expect } from 'chai'
import { canonicalJson } from '../canonical-json.ts'
import { parsePipeline } from './parse-pipeline.ts'
import { readBy, workloadPart } from './workload-part.ts'

const source = { brokers: ['kafka:9092'] }
const pipeline = (spec: object) =>
  parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'payments', namespace: 'shop' },
    spec: { source, ...spec },
  })
const results = { episodesTopic: 'episodes' }
const notifications = [{ name: 'chat', slack: { urlSecretRef: { name: 'slack', key: 'url' } } }]
const text = (spec: object) => canonicalJson(workloadPart(pipeline(spec)))

describe('workloadPart', () => {
  it('is a pipeline document with the same meaning for workloads', () => {
    const whole = pipeline({
      detection: { threshold: '0.99' },
      api: { auth: { mode: 'Bearer', secretRef: { name: 'tokens' } } },
    })
    const part = parsePipeline(JSON.parse(canonicalJson(workloadPart(whole))))
    const { source, event, detection, results, api } = part.spec
    const expected = whole.spec
    expect({ source, event, detection, results, auth: api.auth }).to.deep.equal({
      source: expected.source,
      event: expected.event,
      detection: expected.detection,
      results: expected.results,
      auth: expected.api.auth,
    })
    expect(part.metadata).to.deep.equal(whole.metadata)
    expect(canonicalJson(workloadPart(part))).to.equal(canonicalJson(workloadPart(whole)))
  })

  it('is the same text after a change that workloads need not know of', () => {
    for (const change of [
      { consumer: { replicas: 5 } },
      { consumer: { autoscaling: { maxReplicas: 20 } } },
      { inference: { template: { labels: { team: 'risk' } } } },
      { api: { replicas: 4, resources: { limits: { memory: '1Gi' } } } },
      { state: { redis: { managed: { memoryMebibytes: 512 } } } },
      { desiredState: 'Paused' },
    ])
      expect(text(change), JSON.stringify(change)).to.equal(text({}))
  })

  it('is another text after a change that they obey', () => {
    const external = { urlSecretRef: { name: 'redis', key: 'url' } }
    for (const change of [
      { source: { brokers: ['other:9092'] } },
      { event: { value: 'amount' } },
      { detection: { refractorySeconds: 0 } },
      { results: { publish: 'Anomalies' } },
      { state: { profileTtlSeconds: 3600 } },
      { state: { redis: { external } } },
      { api: { publishEvents: 'Disabled' } },
      { api: { externalUrl: 'https://anomaly.example.com' } },
      { results, notifications },
    ])
      expect(text(change), JSON.stringify(change)).not.to.equal(text({}))
  })

  it('is read by consumers and inference without the history, which is none of theirs', () => {
    const history = { postgres: { urlSecretRef: { name: 'history', key: 'url' } } }
    const read = (role: Parameters<typeof readBy>[0], spec: object) => canonicalJson(readBy(role, pipeline(spec)))
    for (const role of ['consumer', 'inference'] as const) expect(read(role, { history })).to.equal(read(role, {}))
    for (const role of ['api', 'recorder'] as const) expect(read(role, { history })).not.to.equal(read(role, {}))
    expect(read('recorder', { history, detection: { refractorySeconds: 1 } })).to.equal(read('recorder', { history }))
  })

  it('does not depend on the order in which fields were written', () => {
    expect(text({ results: { topic: 'a', publish: 'All' }, event: { value: 'v', id: 'i' } })).to.equal(
      text({ event: { id: 'i', value: 'v' }, results: { publish: 'All', topic: 'a' } }),
    )
  })
})

describe('canonicalJson', () => {
  it('sorts fields at every depth, keeps the order of lists and leaves out what is absent', () => {
    expect(canonicalJson({ b: [{ d: 1, c: undefined }, 'x'], a: { z: null, y: 2 } })).to.equal(
      '{"a":{"y":2,"z":null},"b":[{"d":1},"x"]}',
    )
  })
})

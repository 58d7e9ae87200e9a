import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { AppError } from '../errors.ts'
import { loadPipeline } from './load-pipeline.ts'
import { resolveDecision, resolveDetectors, resolveFeatures } from './resolve-pipeline.ts'

const header = 'apiVersion: anomaly.com/v1alpha1\nkind: AnomalyPipeline\nmetadata: {name: payments}\n'

describe('loadPipeline', () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'anomaly-load-pipeline-'))
  })
  after(() => rm(folder, { recursive: true }))

  async function file(text: string): Promise<string> {
    const path = join(folder, 'pipeline.yaml')
    await writeFile(path, text)
    return path
  }

  /** What is said of a file, with its folder left out. */
  async function refusal(path: string): Promise<string> {
    const error = await loadPipeline(path).then(
      () => expect.fail(`${path} was accepted`),
      (thrown: unknown) => thrown,
    )
    expect(error).to.be.instanceOf(AppError).with.property('code', 'InvalidPipeline')
    expect(error).to.have.property('exitCode', 2)
    return (error as AppError).message.replaceAll(`${folder}/`, '')
  }

  it('reads YAML', async () => {
    const pipeline = await loadPipeline(await file(`${header}spec:\n  source: {brokers: ["kafka:9092"]}\n`))
    expect(pipeline.metadata.name).to.equal('payments')
    expect(pipeline.spec.source.brokers).to.deep.equal(['kafka:9092'])
  })

  it('reads JSON', async () => {
    const document = {
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata: { name: 'payments' },
      spec: { source: { brokers: ['kafka:9092'] } },
    }
    const pipeline = await loadPipeline(await file(JSON.stringify(document, null, 2)))
    expect(pipeline.spec.source.topic).to.equal('anomaly-events')
  })

  it('reads the one document among empty ones', async () => {
    const pipeline = await loadPipeline(
      await file(`# nothing\n---\n${header}spec: {source: {brokers: ["a:1"]}}\n---\n`),
    )
    expect(pipeline.spec.source.brokers).to.deep.equal(['a:1'])
  })

  it('refuses a file that is not there, or is a folder', async () => {
    expect(await refusal(join(folder, 'missing.yaml'))).to.equal('missing.yaml: no such file')
    expect(await refusal(join(folder, '.'))).to.match(/: is a folder; a file is expected$/)
  })

  it('refuses an empty file', async () => {
    for (const text of ['', '\n', '# only a comment\n', '---\n', 'null'])
      expect(await refusal(await file(text)), JSON.stringify(text)).to.equal(
        'pipeline.yaml: is empty; an AnomalyPipeline is expected',
      )
  })

  it('says where the YAML is wrong, by line and column', async () => {
    expect(await refusal(await file(`${header}spec:\n  source: {brokers: [a:1}\n`))).to.match(
      /^pipeline\.yaml:5:\d+: \S.*$/,
    )
    expect(await refusal(await file(`${header}kind: AnomalyPipeline\n`))).to.equal(
      'pipeline.yaml:4:1: Map keys must be unique',
    )
  })

  it('refuses aliases that lead nowhere, or multiply', async () => {
    expect(await refusal(await file('metadata: *name\n'))).to.match(/^pipeline\.yaml: Unresolved alias/)
    expect(await refusal(await file('metadata: &a {name: [*a]}\n'))).to.match(
      /^pipeline\.yaml: an alias is part of what/,
    )
    const doubling = Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]`).join('\n')
    expect(await refusal(await file(`a0: &a0 [x]\n${doubling}\n`))).to.match(/^pipeline\.yaml: Excessive alias count/)
  })

  it('refuses a second document, and says where it begins', async () => {
    expect(await refusal(await file(`${header}spec: {source: {brokers: ["a:1"]}}\n---\n\nkind: Service\n`))).to.equal(
      'pipeline.yaml:7: a second document begins here; one is expected',
    )
  })

  it('refuses a document of another kind', async () => {
    expect(await refusal(await file('apiVersion: v1\nkind: Service\nspec: {}\n'))).to.equal(
      'pipeline.yaml:1: apiVersion: "v1" must be "anomaly.com/v1alpha1"\n' +
        'pipeline.yaml:2: kind: "Service" must be "AnomalyPipeline"',
    )
  })

  it('says each thing that is wrong on a line of its own with the line of its field, in their order', async () => {
    const text = `${header}spec:
  source:
    brokers: ["a:1"]
  detection:
    detecters: []
    detectors:
      - name: forest
        isolationForest:
          trees: 0
      - name: both
        profile: {}
        discord: {}
  event:
    key:
      name: userId
`
    expect(await refusal(await file(text))).to.equal(
      `pipeline.yaml:8: spec.detection.detecters: unknown field, did you mean "detectors"?
pipeline.yaml:12: spec.detection.detectors[0].isolationForest.trees: 0 must be between 10 and 1000
pipeline.yaml:13: spec.detection.detectors[1]: exactly one of profile, isolationForest, discord, onnx must be given
pipeline.yaml:17: spec.event.key: must be the name of a field, $key, $source or ""`,
    )
    expect(await refusal(await file(header))).to.equal('pipeline.yaml:1: spec: is required')
  })
})

describe('The sample pipelines', () => {
  const folder = join(import.meta.dirname, '../../manifests/pipelines')
  const load = (name: string) => loadPipeline(join(folder, `${name}.yaml`))

  it('are all valid and named as their files', async () => {
    const files = (await readdir(folder)).filter((name) => name.endsWith('.yaml')).sort()
    const names = await Promise.all(files.map(async (name) => (await loadPipeline(join(folder, name))).metadata.name))
    expect(files).to.deep.equal(names.map((name) => `${name}.yaml`))
    expect(names).to.deep.equal([
      ...['external-redis', 'history', 'minimal', 'notifications', 'payments', 'tabular', 'threshold', 'timeseries'],
      'transactions',
    ])
  })

  it('threshold limits the value and the mean of the features', async () => {
    expect((await load('threshold')).spec.detection.rules).to.deep.equal([
      { name: 'value-limit', field: 'value', above: '100' },
      { name: 'mean-limit', field: 'mean(features)', above: '50' },
    ])
  })

  it('payments takes the default detectors to seed-shaped events', async () => {
    const { event, detection } = (await load('payments')).spec
    expect({ ...event, features: resolveFeatures(event) }).to.deep.equal({
      id: 'eventId',
      time: 'timestamp',
      key: 'userId',
      value: 'value',
      features: { type: 'object', field: 'features' },
    })
    expect(resolveDetectors(detection).map(({ type }) => type)).to.deep.equal(['profile', 'isolationForest'])
    expect(resolveDecision(detection)).to.deep.equal({ type: 'alertBudget', perMillion: 2000, mode: 'Quota' })
    expect(detection.refractorySeconds).to.equal(300)
  })

  it('timeseries makes each source a key for discord', async () => {
    const { event, detection } = (await load('timeseries')).spec
    expect(event).to.deep.equal({ id: '', time: 'timestamp', key: '$source', value: 'value', features: '' })
    expect(resolveDetectors(detection)).to.deep.equal([{ name: 'discord', type: 'discord' }])
  })

  it('tabular takes columns by the start of their names, without time, key or value', async () => {
    const { event, detection } = (await load('tabular')).spec
    expect(event).to.deep.equal({ id: '', time: '', key: '', value: '', featureFields: ['x*'] })
    expect(resolveFeatures(event)).to.deep.equal({ type: 'fields', names: ['x*'] })
    expect(resolveDetectors(detection).map(({ type }) => type)).to.deep.equal(['isolationForest'])
  })

  it('transactions profiles the amounts of each customer', async () => {
    const { event, detection } = (await load('transactions')).spec
    expect(event).to.deep.equal({
      id: 'transaction_id',
      time: 'time_seconds',
      key: 'customer_id',
      value: 'amount',
      features: '',
    })
    expect(resolveDetectors(detection)).to.deep.equal([{ name: 'profile', type: 'profile', halfLifeEvents: 200 }])
  })
})

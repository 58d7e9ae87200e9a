import { readdirSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import { expect } from 'chai'
import { parse } from 'yaml'
import { crd } from '../../lib/pipeline/crd.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { checkPipeline, parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { allowedChanges, contradictory, outOfBounds, refusedChanges } from '../../lib/pipeline/refused-pipelines.ts'
import type { PipelineStatus } from '../../lib/pipeline/status.ts'
import { useApiServer } from '../harness/apiserver/use-api-server.ts'
import { eventually } from '../harness/eventually.ts'

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const pipelines = '/apis/anomaly.com/v1alpha1/namespaces/default/anomalypipelines'
const samples = join(import.meta.dirname, '../../manifests/pipelines')
const crdFile = join(import.meta.dirname, '../../crds/anomaly.com_anomalypipelines.yaml')

const ownTopics = { topic: 'payments-verdicts', deadLetterTopic: 'payments-dead-letters' }

// biome-ignore lint/suspicious/noExplicitAny: whatever the API server answers
type Answer = { readonly code: number; readonly body: any }

describe('The CRD in an API server', () => {
  const cluster = useApiServer()

  function call(method: string, path: string, body?: object, headers: object = {}): Promise<Answer> {
    const { url, token, ca } = cluster.server
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
    return new Promise((resolve, reject) => {
      const options = { method, ca, headers: { authorization: `Bearer ${token}`, 'content-type': type, ...headers } }
      const sent = request(`${url}${path}`, options, async (response) => {
        const text = (await response.setEncoding('utf8').toArray()).join('')
        resolve({ code: response.statusCode ?? 0, body: text.startsWith('{') ? JSON.parse(text) : text })
      })
      sent.on('error', reject)
      sent.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }
  const document = (spec: object, metadata: object = { name: 'payments' }) => ({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata,
    spec,
  })
  const create = (body: object) => call('POST', `${pipelines}?fieldValidation=Strict&dryRun=All`, body)
  /** `<field>: <what>` for each thing that the API server finds wrong. */
  const causes = ({ body }: Answer): string[] =>
    (body.details?.causes ?? []).map((cause: { field: string; message: string }) => `${cause.field}: ${cause.message}`)

  before('create the CRD', async () => {
    const created = await call('POST', definitions, parse(readFileSync(crdFile, 'utf8')))
    expect(causes(created)).to.deep.equal([])
    expect(created.code).to.equal(201)
    await eventually(async () => expect((await call('GET', pipelines)).code).to.equal(200))
  })
  afterEach(async () => {
    await call('DELETE', `${pipelines}/payments`)
  })

  it('is structural and established', async () => {
    const { body } = await call('GET', `${definitions}/${crd().metadata.name}`)
    const conditions = body.status.conditions.map(
      (one: { type: string; status: string }) => `${one.type} ${one.status}`,
    )
    expect(conditions).to.have.members(['NamesAccepted True', 'Established True'])
  })

  it('fills in the defaults of a laptop', async () => {
    const spec = { source: { brokers: ['kafka:9092'] } }
    const { code, body } = await create(document(spec))
    expect(code).to.equal(201)
    const { results, ...others } = parsePipeline(document(spec)).spec
    // The names of its own topics are no part of what is stored.
    expect(results).to.deep.equal({ ...body.spec.results, ...ownTopics })
    expect(body.spec).to.deep.equal({ ...others, results: body.spec.results })
    expect(parsePipeline(body).spec).to.deep.equal({ ...others, results })
  })

  for (const name of readdirSync(samples).filter((one) => one.endsWith('.yaml')))
    it(`accepts the sample ${name} as a laptop reads it`, async () => {
      const path = join(samples, name)
      const { code, body } = await create(parse(await readFile(path, 'utf8')))
      expect(code, JSON.stringify(body)).to.equal(201)
      expect(parsePipeline(body).spec).to.deep.equal((await loadPipeline(path)).spec)
    })

  for (const { what, metadata, spec, field } of outOfBounds)
    it(`refuses ${what}, naming the field`, async () => {
      const refused = await create(document(spec, metadata))
      expect(refused.code).to.equal(422)
      expect(
        causes(refused).some((cause) => cause.startsWith(`${field}: `)),
        causes(refused).join('\n'),
      ).to.equal(true)
    })

  for (const { what, spec, field, message } of contradictory)
    it(`refuses ${what} in the words of a laptop`, async () => {
      const refused = await create(document(spec))
      expect(refused.code).to.equal(422)
      const [cause, ...others] = causes(refused)
      expect(others).to.deep.equal([])
      expect(cause).to.match(/^[^:]+: Invalid value: /)
      expect([cause!.startsWith(`${field}: `), cause!.endsWith(message)], cause).to.deep.equal([true, true])
    })

  for (const { what, before, spec, field, message } of refusedChanges)
    it(`refuses a change to ${what}`, async () => {
      expect((await call('POST', pipelines, document(before))).code).to.equal(201)
      const refused = await call('PATCH', `${pipelines}/payments`, { spec })
      expect(refused.code).to.equal(422)
      const [cause, ...others] = causes(refused)
      expect(others).to.deep.equal([])
      expect([cause!.startsWith(`${field}: `), cause!.endsWith(message)], cause).to.deep.equal([true, true])
    })

  for (const { what, before, after } of allowedChanges)
    it(`allows ${what}`, async () => {
      const created = await call('POST', pipelines, document(before))
      const changed = await call('PUT', `${pipelines}/payments`, {
        ...document(after),
        metadata: { name: 'payments', resourceVersion: created.body.metadata.resourceVersion },
      })
      expect(causes(changed)).to.deep.equal([])
      expect(changed.code).to.equal(200)
    })

  it('takes every quantity that a pod takes, as a laptop does', async () => {
    for (const memory of [4294967296, '4294967296', '129e6', '1Ei', '.5Gi', '1.5Gi', '123456k', '+1Gi', 0]) {
      const spec = { source: { brokers: ['a:1'] }, api: { resources: { limits: { memory } } } }
      expect(causes(await create(document(spec))), String(memory)).to.deep.equal([])
      expect(checkPipeline(document(spec)).issues, String(memory)).to.equal(undefined)
    }
  })

  it('tests each rule that it has', () => {
    const rules = new Set<string>()
    const collect = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return
      for (const [name, field] of Object.entries(value)) {
        if (name === 'x-kubernetes-validations')
          for (const { message } of field as { message: string }[]) rules.add(message)
        else collect(field)
      }
    }
    collect(crd())
    const tested = new Set([...contradictory, ...refusedChanges].map(({ message }) => message))
    expect([...rules].filter((message) => !tested.has(message))).to.deep.equal([])
  })

  it('refuses unknown fields, as a laptop does', async () => {
    const refused = await create(document({ source: { brokers: ['a:1'] }, detection: { detecters: [] } }))
    expect(refused.code).to.equal(400)
    expect(refused.body.message).to.include('unknown field "spec.detection.detecters"')
  })

  it('takes a status and prints it in columns that tell an on-call how things are', async () => {
    await call('POST', pipelines, document({ source: { brokers: ['kafka:9092'] } }))
    const component = {
      desired: 3,
      updated: 3,
      ready: 2,
      summary: '2/3',
      reason: 'ImagePullBackOff',
      message: 'no such image',
    }
    const status: PipelineStatus = {
      observedGeneration: 1,
      conditions: [
        {
          type: 'Ready',
          status: 'False',
          observedGeneration: 1,
          lastTransitionTime: '2025-01-01T00:00:00Z',
          reason: 'ConsumerNotReady',
          message: 'consumer: 1 of 3 pods waits: ImagePullBackOff: no such image',
        },
      ],
      components: { consumer: component, inference: { desired: 2, updated: 2, ready: 2, summary: '2/2' } },
      source: { partitions: 12, lag: 2 ** 40 },
      scaling: { minReplicas: 2, maxReplicas: 8 },
      model: { version: 'v42', fitTime: '2025-01-01T00:00:00Z', rows: 2 ** 40 },
      alerts: { perMillion: 940, budgetPerMillion: 1000, summary: '940/1000' },
    }
    const written = await call('PATCH', `${pipelines}/payments/status`, { status })
    expect(written.code, JSON.stringify(written.body)).to.equal(200)
    expect(written.body.status).to.deep.equal(status)

    const { body } = await call('GET', pipelines, undefined, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' })
    const columns: readonly { name: string; priority: number }[] = body.columnDefinitions
    const row = (priority: number) =>
      Object.fromEntries(
        columns.flatMap(({ name, ...column }, index) =>
          column.priority === priority && name !== 'Age' ? [[name, body.rows[0].cells[index]]] : [],
        ),
      )
    expect(row(0)).to.deep.equal({
      Name: 'payments',
      Ready: 'False',
      Status: 'ConsumerNotReady',
      Consumers: '2/3',
      Lag: 2 ** 40,
      'Alerts/M': '940/1000',
      Model: 'v42',
    })
    const { Fitted, ...wide } = row(1)
    expect(Fitted).to.match(/^\d+d$/)
    expect(wide).to.deep.equal({
      Inference: '2/2',
      API: null,
      Redis: null,
      Backup: null,
      Topic: 'anomaly-events',
      Partitions: 12,
      Message: 'consumer: 1 of 3 pods waits: ImagePullBackOff: no such image',
    })
  })
})

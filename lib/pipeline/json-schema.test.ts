import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import { expect } from 'chai'
import { parse } from 'yaml'
import { pipelineJsonSchema, pipelineJsonSchemaText } from './json-schema.ts'

const root = join(import.meta.dirname, '../..')
const path = 'docs/pipeline.schema.json'
const samples = globSync('manifests/pipelines/*.yaml', { cwd: root }).sort()

describe('The JSON Schema of a pipeline', () => {
  const validate = new Ajv({ allErrors: true, strictTypes: false }).compile(pipelineJsonSchema())
  const complaintsOf = (document: unknown): string[] => {
    validate(document)
    return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
  }
  const withSpec = (spec: object) => ({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'payments' },
    spec: { source: { brokers: ['localhost:9092'] }, ...spec },
  })

  it('is what its file says (if not: npm run generate)', () => {
    expect(readFileSync(join(root, path), 'utf8')).to.equal(pipelineJsonSchemaText())
  })

  for (const sample of samples)
    it(`takes ${sample}, which tells editors where the schema is`, () => {
      const text = readFileSync(join(root, sample), 'utf8')
      expect(complaintsOf(parse(text))).to.deep.equal([])
      expect(text.split('\n')[0]).to.equal(`# yaml-language-server: $schema=../../${path}`)
    })

  it('names what is misspelt, of a wrong type or no choice', () => {
    expect(complaintsOf(withSpec({ detecton: {} }))).to.deep.equal(['/spec must NOT have additional properties'])
    expect(complaintsOf(withSpec({ source: {} }))).to.deep.equal(["/spec/source must have required property 'brokers'"])
    expect(complaintsOf(withSpec({ desiredState: 'Stopped' }))).to.deep.equal([
      '/spec/desiredState must be equal to one of the allowed values',
    ])
    expect(complaintsOf(withSpec({ detection: { alertBudgetPerMillion: 'many' } }))).to.include(
      '/spec/detection/alertBudgetPerMillion must be integer',
    )
  })

  it('takes amounts as numbers and as text', () => {
    for (const cpu of [2, '500m'])
      expect(complaintsOf(withSpec({ consumer: { resources: { limits: { cpu } } } }))).to.deep.equal([])
  })

  it('has a sentence for each field of the document', () => {
    const { spec } = (pipelineJsonSchema() as { properties: { spec: { properties: Record<string, object> } } })
      .properties
    for (const [name, field] of Object.entries(spec.properties)) expect(field, name).to.have.property('description')
  })
})

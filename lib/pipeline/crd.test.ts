import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { parse } from 'yaml'
import { crd, crdYaml, type StructuralSchema } from './crd.ts'

interface Field {
  readonly path: string
  readonly schema: StructuralSchema
  readonly isItem: boolean
}

/** Every field of the schema, with itself at the empty path; items as `list[]`, entries as `map{}`. */
function fieldsOf(schema: StructuralSchema, path = '', isItem = false): readonly Field[] {
  return [
    { path, schema, isItem },
    ...Object.entries(schema.properties ?? {}).flatMap(([name, field]) => fieldsOf(field, `${path}.${name}`)),
    ...(schema.items ? fieldsOf(schema.items, `${path}[]`, true) : []),
    ...(schema.additionalProperties ? fieldsOf(schema.additionalProperties, `${path}{}`, true) : []),
  ]
}

const document = crd().spec.versions[0]!.schema.openAPIV3Schema
/** What this project declares; `apiVersion`, `kind` and `metadata` are bounded by Kubernetes itself. */
const fields = ['spec', 'status'].flatMap((part) => fieldsOf(document.properties![part]!, `.${part}`))
const paths = (select: (field: Field) => boolean) => fields.filter(select).map(({ path }) => path)
const isAmount = ({ schema }: Field) => schema['x-kubernetes-int-or-string'] === true

describe('The CRD', () => {
  it('is what its file says, byte for byte (if not: npm run generate)', () => {
    const file = readFileSync(new URL('../../crds/anomaly.com_anomalypipelines.yaml', import.meta.url), 'utf8')
    expect(file).to.equal(crdYaml())
    expect(parse(file)).to.deep.equal(crd())
  })

  it('is named as Kubernetes wants it, with a status and without a scale subresource', () => {
    const { metadata, spec } = crd()
    expect(metadata.name).to.equal(`${spec.names.plural}.${spec.group}`)
    expect(spec.versions.map(({ name, subresources }) => ({ name, subresources }))).to.deep.equal([
      { name: 'v1alpha1', subresources: { status: {} } },
    ])
  })

  it('has no floats', () => {
    expect(paths(({ schema }) => schema.type === 'number')).to.deep.equal([])
  })

  it('has one type for every field', () => {
    const types = ['object', 'array', 'string', 'integer', 'boolean']
    expect(paths((field) => !types.includes(field.schema.type ?? '') && !isAmount(field))).to.deep.equal([])
  })

  it('uses nothing that a structural schema forbids', () => {
    const forbidden = [
      '$ref',
      '$schema',
      'anyOf',
      'oneOf',
      'allOf',
      'not',
      'const',
      'id',
      'exclusiveMinimum',
      'exclusiveMaximum',
    ]
    expect(paths(({ schema }) => forbidden.some((keyword) => keyword in schema))).to.deep.equal([])
    expect(paths(({ schema }) => 'properties' in schema && 'additionalProperties' in schema)).to.deep.equal([])
  })

  it('bounds every string', () => {
    const bounded = (schema: StructuralSchema) => 'enum' in schema || 'maxLength' in schema
    expect(
      paths((field) => (field.schema.type === 'string' || isAmount(field)) && !bounded(field.schema)),
    ).to.deep.equal([])
  })

  it('bounds every number, with the format that holds it', () => {
    const numbers = fields.filter((field) => field.schema.type === 'integer')
    expect(numbers).not.to.be.empty
    for (const { path, schema } of numbers) {
      expect(schema, path).to.include.all.keys('minimum', 'maximum')
      expect(schema.format, path).to.equal(Number(schema.maximum) < 2 ** 31 ? 'int32' : 'int64')
    }
    expect(
      paths((field) => isAmount(field) && !('minimum' in field.schema && 'maximum' in field.schema)),
    ).to.deep.equal([])
  })

  it('bounds every list and every map', () => {
    expect(paths(({ schema }) => schema.type === 'array' && !('maxItems' in schema))).to.deep.equal([])
    expect(paths(({ schema }) => 'additionalProperties' in schema && !('maxProperties' in schema))).to.deep.equal([])
  })

  it('says of every list how it merges, and a list by key requires the key', () => {
    for (const { path, schema } of fields.filter((field) => field.schema.type === 'array')) {
      const keys = schema['x-kubernetes-list-map-keys'] as readonly string[] | undefined
      expect(schema['x-kubernetes-list-type'], path).to.equal(keys ? 'map' : 'atomic')
      if (keys) expect(schema.items!.required, path).to.include.members([...keys])
    }
  })

  it('leaves types that are not its own open only where Kubernetes has a big one', () => {
    const ofPods = [
      'affinity',
      'topologySpreadConstraints[]',
      'securityContext',
      'containerSecurityContext',
      'env[].valueFrom',
      'volumes[]',
      'volumeMounts[]',
      'initContainers[]',
      'sidecars[]',
    ]
    const roles = ['consumer', 'inference', 'api'].map((role) => `.spec.${role}`)
    const components = ['.spec.state.redis.managed', '.spec.recorder', ...roles]
    expect(paths(({ schema }) => 'x-kubernetes-preserve-unknown-fields' in schema)).to.have.members([
      ...components.flatMap((component) => ofPods.map((field) => `${component}.template.${field}`)),
      ...roles.map((role) => `${role}.autoscaling.behavior`),
      ...['relabelings[]', 'metricRelabelings[]'].map((field) => `.spec.monitoring.serviceMonitor.${field}`),
    ])
  })

  it('has no default in a member of a union, nor for it', () => {
    const members = [
      '.spec.event.features',
      '.spec.event.featureFields',
      '.spec.detection.alertBudget',
      '.spec.detection.alertBudgetPerMillion',
      '.spec.detection.threshold',
      '.spec.detection.rules[].above',
      '.spec.detection.rules[].below',
      '.spec.detection.detectors[].profile',
      '.spec.detection.detectors[].isolationForest',
      '.spec.detection.detectors[].discord',
      '.spec.state.redis.managed',
      '.spec.state.redis.external',
      ...['webhook', 'webhook.url', 'webhook.urlSecretRef', 'slack', 'alertmanager', 'pagerduty'].map(
        (field) => `.spec.notifications[].${field}`,
      ),
      ...['consumer', 'inference', 'api'].flatMap((role) => [`.spec.${role}.replicas`, `.spec.${role}.autoscaling`]),
    ]
    expect(paths(() => true)).to.include.members(members)
    const isMember = (path: string) => members.some((member) => path === member || path.startsWith(`${member}.`))
    expect(paths(({ path, schema }) => isMember(path) && 'default' in schema)).to.deep.equal([])
  })

  it('describes every field, for the documentation is made from it', () => {
    expect(paths(({ schema, isItem }) => !isItem && !schema.description)).to.deep.equal([])
  })
})

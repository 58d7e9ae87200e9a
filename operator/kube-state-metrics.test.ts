import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { parse } from 'yaml'
import { crd, type StructuralSchema } from '../lib/pipeline/crd.ts'

interface Metric {
  readonly name: string
  readonly each: {
    readonly gauge: {
      readonly path: readonly string[]
      readonly labelsFromPath?: Readonly<Record<string, readonly string[]>>
      readonly labelFromKey?: string
      readonly valueFrom?: readonly string[]
    }
  }
}
interface Values {
  readonly customResourceState: {
    readonly config: { readonly spec: { readonly resources: readonly { readonly metrics: readonly Metric[] }[] } }
  }
}

const file = new URL('../manifests/kube-state-metrics/values.yaml', import.meta.url)
const { metrics } = (parse(readFileSync(file, 'utf8')) as Values).customResourceState.config.spec.resources[0]!
const schema = crd().spec.versions[0]!.schema.openAPIV3Schema
const below = (from: StructuralSchema | undefined, path: readonly string[]): StructuralSchema | undefined =>
  path.reduce<StructuralSchema | undefined>((at, step) => at?.properties?.[step], from)

describe('The configuration of kube-state-metrics', () => {
  for (const { name, each } of metrics)
    it(`reads ${name} from fields that a pipeline has`, () => {
      const { path, labelsFromPath = {}, labelFromKey, valueFrom } = each.gauge
      const at = below(schema, path)
      expect(at, path.join('.')).to.not.equal(undefined)
      const items =
        at?.items !== undefined ? [at.items] : labelFromKey === undefined ? [at] : Object.values(at?.properties ?? {})
      for (const item of items)
        for (const field of [...Object.values(labelsFromPath), ...(valueFrom === undefined ? [] : [valueFrom])])
          expect(below(item, field), field.join('.')).to.not.equal(undefined)
    })
})

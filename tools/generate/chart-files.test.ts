import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { chartFiles } from './chart-files.ts'

const read = (path: string) => readFileSync(join(import.meta.dirname, '../../charts/anomaly-operator', path), 'utf8')

interface Schema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: unknown
}

describe('chartFiles', () => {
  for (const [path, text] of Object.entries(chartFiles(read)))
    it(`are what the chart has: ${path} (if not: npm run generate:chart)`, () => {
      expect(read(path)).to.equal(text)
    })
})

describe('values.schema.json', () => {
  const schema = JSON.parse(read('values.schema.json')) as Schema
  /** Names of the values, as `a.b`. */
  const namesOf = ({ properties = {} }: Schema, path = ''): string[] =>
    Object.entries(properties).flatMap(([name, value]) =>
      value.properties === undefined || value.additionalProperties !== false
        ? [`${path}${name}`]
        : namesOf(value, `${path}${name}.`),
    )

  it('knows exactly the values of values.yaml, and `global`, which Helm gives to charts that are part of another', () => {
    const documented = [...read('README.md').matchAll(/^\| `([\w.]+)` \|/gm)].map(([, name]) => name)
    expect(namesOf(schema)).to.have.members([...documented, 'global'])
  })

  it('refuses values that do not exist', () => {
    const lenient = Object.entries({ '': schema, ...schema.properties })
      .filter(([, { properties, additionalProperties }]) => properties !== undefined && additionalProperties !== false)
      .map(([name]) => name)
    expect(lenient).to.deep.equal([])
  })
})

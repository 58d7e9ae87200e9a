import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { parse } from 'yaml'
import { manifestFiles } from './manifest-files.ts'

const manifests = join(import.meta.dirname, '../../manifests')
const read = (path: string) => readFileSync(join(manifests, path), 'utf8')

describe('manifestFiles', () => {
  const files = manifestFiles(read)
  for (const [path, text] of Object.entries(files))
    it(`are what manifests/ has: ${path} (if not: npm run generate:manifests)`, () => {
      expect(read(path)).to.equal(text)
    })

  it('hold every action that there is', () => {
    const folders = readdirSync(join(manifests, 'argocd/resource_customizations/anomaly.com/AnomalyPipeline/actions'), {
      withFileTypes: true,
    }).flatMap((entry) => (entry.isDirectory() && entry.name !== 'testdata' ? [entry.name] : []))
    const { data } = parse(files['argocd/argocd-cm.yaml']!)
    const { definitions } = parse(data['resource.customizations.actions.anomaly.com_AnomalyPipeline'])
    expect(definitions.map(({ name }: { name: string }) => name)).to.have.members(folders)
  })
})

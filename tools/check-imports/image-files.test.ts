import { globSync, readFileSync } from 'node:fs'
import { dirname, join, matchesGlob } from 'node:path'
import { expect } from 'chai'
import { importsOf } from './check-imports.ts'

const root = join(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

/** All that a file loads: imports, and scripts of workers. */
const loadedBy = (path: string): string[] => {
  const text = read(path)
  const workers = Array.from(text.matchAll(/new URL\('(\.[^']+\.ts)'/g), ([, name]) => join(dirname(path), name!))
  return [...importsOf(path, text), ...workers].filter((name) => name.endsWith('.ts'))
}

describe('.dockerignore', () => {
  it('leaves out each source that bin/anomaly.ts does not load, and no other', () => {
    const loaded = new Set<string>()
    const open = ['bin/anomaly.ts']
    for (let path = open.pop(); path !== undefined; path = open.pop()) {
      if (loaded.has(path)) continue
      loaded.add(path)
      open.push(...loadedBy(path))
    }
    const patterns = read('.dockerignore')
      .split('\n')
      .filter((line) => /^[^#!]/.test(line) && line !== '*')
    const isLeftOut = (path: string): boolean =>
      patterns.some((pattern) => matchesGlob(path, pattern) || path.startsWith(`${pattern}/`))
    const sources = globSync('{bin,lib,operator,workloads}/**/*.ts', { cwd: root })
    expect(sources.length).to.be.above(loaded.size)
    const needed = [...loaded].filter(isLeftOut)
    const needless = sources.filter((path) => !loaded.has(path) && !isLeftOut(path))
    expect({ needed, needless }).to.deep.equal({ needed: [], needless: [] })
  })
})

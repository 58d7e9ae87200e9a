import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join } from 'node:path'

interface Ranking {
  readonly roc: number
  readonly ap: number
}

const script = join(import.meta.dirname, 'forest.py')
const kept = join(homedir(), '.cache/anomaly/quality')

/**
 * scikit-learn's isolation forest as a baseline, fitted on all rows at once; undefined where this Python has none. What it
 * found is kept in ~/.cache/anomaly/quality: it does not change with the project.
 */
export function batchForest(python: string, path: string, seeds: readonly number[]): readonly Ranking[] | undefined {
  const file = join(kept, `forest-${basename(path, '.csv.gz')}-${statSync(path).size}-${seeds.join('-')}.json`)
  if (!existsSync(file)) {
    if (!hasForest(python)) return undefined
    const text = execFileSync(python, [script, path, ...seeds.map(String)], { encoding: 'utf8' })
    mkdirSync(kept, { recursive: true })
    writeFileSync(file, text)
  }
  return JSON.parse(readFileSync(file, 'utf8'))
}

function hasForest(python: string): boolean {
  try {
    execFileSync(python, ['-c', 'import sklearn'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

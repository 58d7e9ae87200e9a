import { dirname, join } from 'node:path'
import type { House } from './house.ts'

export interface Rules {
  readonly house: House
  /** Rooms that import no package and nothing of Node.js. */
  readonly pure: readonly string[]
}

/** Paths from the root of the project, with their text. */
export type Sources = ReadonlyMap<string, string>

const statement = /^(?:import|export)\b[^'"]*?\bfrom '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm

/** What a file imports: paths from the root for the project's own files, names for packages. */
export function importsOf(path: string, text: string): string[] {
  return Array.from(text.matchAll(statement), ([, from, bare, dynamic]) => (from ?? bare ?? dynamic)!).map((name) =>
    name.startsWith('.') ? join(dirname(path), name) : name,
  )
}

/** Each broken rule in a line: imports against the house, and circles. Tests may import what they need. */
export function brokenRules(sources: Sources, { house, pure }: Rules): string[] {
  const own = [...sources].filter(([path]) => !/(\.test|-suite)\.ts$/.test(path))
  const imports = new Map(own.map(([path, text]) => [path, importsOf(path, text)]))
  const broken: string[] = []
  for (const [path, names] of imports) {
    const room = roomOf(path, house)
    if (room === undefined) {
      broken.push(`${path} is in no room of tools/check-imports/house.ts`)
      continue
    }
    for (const name of names) {
      const isOwn = name.endsWith('.ts') && !name.startsWith('node:')
      if (!isOwn && pure.includes(room)) broken.push(`${path} imports ${name}: ${room} is pure`)
      if (!isOwn) continue
      const other = roomOf(name, house)
      if (other !== room && (other === undefined || !house[room]!.includes(other)))
        broken.push(`${path} imports ${name}: ${room} may not import ${other ?? dirname(name)}`)
    }
  }
  return [...broken, ...circles(imports).map((circle) => `import circle: ${circle.join(' -> ')}`)]
}

function roomOf(path: string, house: House): string | undefined {
  for (let folder = dirname(path); folder !== '.'; folder = dirname(folder)) if (folder in house) return folder
  return undefined
}

/** One circle for each import that closes one, seen from a walk in depth. */
function circles(imports: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = []
  const done = new Set<string>()
  const way: string[] = []
  const visit = (path: string): void => {
    const at = way.indexOf(path)
    if (at >= 0) found.push([...way.slice(at), path])
    if (at >= 0 || done.has(path)) return
    way.push(path)
    for (const next of imports.get(path) ?? []) if (imports.has(next)) visit(next)
    way.pop()
    done.add(path)
  }
  for (const path of imports.keys()) visit(path)
  return found
}

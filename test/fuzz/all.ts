import { glob } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Fuzz } from './fuzz.ts'

/** Every `*.fuzz.ts` beside this file, by name. */
export async function allFuzzes(): Promise<readonly Fuzz[]> {
  const files: string[] = []
  for await (const file of glob('*.fuzz.ts', { cwd: import.meta.dirname })) files.push(file)
  const modules = files.sort().map((file) => import(pathToFileURL(join(import.meta.dirname, file)).href))
  return (await Promise.all(modules)).map((module: { readonly fuzz: Fuzz }) => module.fuzz)
}

import { glob, readFile } from 'node:fs/promises'
import { brokenRules } from './check-imports.ts'
import { house, pure } from './house.ts'

/** A part of `make check`: fails with a line for each import that the house does not allow. */

const sources = new Map<string, string>()
for await (const path of glob('{bin,lib,operator,workloads,tools}/**/*.ts'))
  sources.set(path, await readFile(path, 'utf8'))
const broken = brokenRules(sources, { house, pure })
for (const line of broken) process.stderr.write(`${line}\n`)
process.exitCode = broken.length === 0 ? 0 : 1

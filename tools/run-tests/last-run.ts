import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

/** What is kept of the last run on this machine. */
export interface LastRun {
  /** Of the whole run, by what it ran. */
  readonly totals: Readonly<Record<string, number>>
  /** Of each job. */
  readonly jobs: Readonly<Record<string, number>>
}

const path = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'anomaly', 'test-times.json')

export async function readLastRun(): Promise<LastRun> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as LastRun
  } catch {
    return { totals: {}, jobs: {} }
  }
}

export async function writeLastRun(run: LastRun): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, `${JSON.stringify(run, null, 2)}\n`)
}

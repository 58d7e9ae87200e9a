import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const root = join(import.meta.dirname, '../..')
/** Everything that `make up` writes; not in version control. */
export const runFolder = join(root, '.run')

export function inRunFolder(name: string): string {
  return join(runFolder, name)
}

/** Where the pid of the process that holds all others is written. */
export const pidFile = inRunFolder('stack.pid')
/** Written when everything answers. */
export const stackFile = inRunFolder('stack.json')

export interface Stack {
  readonly broker: string
  readonly redisUrl: string
  /** Absent while there is no such command. */
  readonly apiPort?: number | undefined
  readonly consumerProbes: number
  readonly inferenceProbes: number
}

/** The pid of the stack that was started last, if it still runs. */
export function runningStack(): number | undefined {
  if (!existsSync(pidFile)) return undefined
  const pid = Number(readFileSync(pidFile, 'utf8'))
  try {
    process.kill(pid, 0)
    // a pid that was given to another program since is none of ours
    return commandOf(pid).includes('tools/local/stack.ts') ? pid : undefined
  } catch {
    return undefined
  }
}

function commandOf(pid: number): string {
  const file = `/proc/${pid}/cmdline`
  return existsSync(file) ? readFileSync(file, 'utf8') : 'tools/local/stack.ts'
}

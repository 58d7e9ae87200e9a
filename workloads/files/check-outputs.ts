import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { AppError } from '../../lib/errors.ts'
import type { InputFile } from './input-files.ts'

/**
 * Refuses outputs that would overwrite what is still to be read, or one another.
 *
 * @param outputs paths by flag
 * @throws AppError InvalidArgument
 */
export function checkOutputs(
  outputs: Readonly<Record<string, string | undefined>>,
  inputs: readonly InputFile[] = [],
): void {
  const users = new Map<string, string>()
  for (const { path } of inputs) if (path !== '-') users.set(identityOf(path), 'an input')
  for (const [flag, path] of Object.entries(outputs)) {
    if (path === undefined || isDevice(path)) continue
    const identity = identityOf(path)
    const user = users.get(identity)
    if (user !== undefined) throw new AppError('InvalidArgument', `--${flag} ${path}: is ${user} too`)
    users.set(identity, `the file of --${flag}`)
  }
}

/** The same for every path to the same file. */
function identityOf(path: string): string {
  const stats = path === '-' ? undefined : statSync(path, { throwIfNoEntry: false })
  return stats === undefined ? resolve(path) : `${stats.dev}:${stats.ino}`
}

/** Such as /dev/null, which any number may write to. */
function isDevice(path: string): boolean {
  return path !== '-' && statSync(path, { throwIfNoEntry: false })?.isFile() === false
}

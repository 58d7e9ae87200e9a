import { createSecretKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { AppError, messageOf } from '../../lib/errors.ts'

/**
 * The text of a file that a flag names; undefined without a path.
 * @throws AppError InvalidArgument
 */
export function textOfFile(path: string): string
export function textOfFile(path: string | undefined): string | undefined
export function textOfFile(path: string | undefined): string | undefined {
  return path === undefined ? undefined : bytesOfFile(path).toString()
}

function bytesOfFile(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new AppError('InvalidArgument', `Cannot read ${path}: ${messageOf(error)}`, { cause: error })
  }
}

/** A name, password or token: the one line of a file, without its end. */
export function lineOfFile(path: string): string {
  const line = textOfFile(path).replace(/\r?\n$/, '')
  if (line !== '' && !/[\r\n]/.test(line)) return line
  throw new AppError('InvalidArgument', `Cannot use ${path}: it must hold one line`)
}

const leastKeyBytes = 16

/** A secret key: all bytes of a file, at least 16. */
export function keyOfFile(path: string): KeyObject {
  const bytes = bytesOfFile(path)
  if (bytes.length >= leastKeyBytes) return createSecretKey(bytes)
  throw new AppError('InvalidArgument', `Cannot use ${path}: a key has ${leastKeyBytes} bytes or more`)
}

import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { AppError, messageOf } from '../../lib/errors.ts'

const flushAt = 256 * 1024
const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'no space left',
  EPIPE: 'the reader has closed it',
  ENOENT: 'there is no such folder',
  ENOTDIR: 'there is no such folder',
  EISDIR: 'it is a folder',
  EACCES: 'you may not',
  EROFS: 'the file system is read-only',
}

/** Says of an output why it cannot be written, and what of it is there. */
export function outputFailed(name: string, error: unknown, state = ''): AppError {
  const why = reasons[(error as NodeJS.ErrnoException).code ?? ''] ?? messageOf(error)
  return new AppError('OutputFailed', `${name}: cannot be written: ${why}${state}`, { cause: error })
}

/** Writes lines to a file or, as `-`, to standard output: in blocks, and only ever whole lines. */
export class LineWriter {
  readonly #path: string
  readonly #fd: number
  readonly #isFile: boolean
  #position = 0
  #lines = 0
  #block = Buffer.allocUnsafeSlow(2 * flushAt)
  #length = 0
  #waiting = 0

  /** Replaces the file. @throws AppError OutputFailed */
  constructor(path: string) {
    this.#path = path === '-' ? 'standard output' : path
    try {
      this.#fd = path === '-' ? 1 : openSync(path, 'w')
      this.#isFile = fstatSync(this.#fd).isFile() && path !== '-'
    } catch (error) {
      throw outputFailed(path, error)
    }
  }

  write(line: string): void {
    const needed = this.#length + 3 * line.length + 1
    if (needed > this.#block.length) {
      const wider = Buffer.allocUnsafeSlow(needed)
      this.#block.copy(wider, 0, 0, this.#length)
      this.#block = wider
    }
    this.#length += this.#block.write(line, this.#length)
    this.#block[this.#length++] = 10
    this.#waiting++
    if (this.#length >= flushAt) this.flush()
  }

  /** @throws AppError OutputFailed; what a file then holds is whole lines */
  flush(): void {
    if (this.#waiting === 0) return
    const block = this.#block.subarray(0, this.#length)
    const lines = this.#waiting
    this.#length = 0
    this.#waiting = 0
    let written = 0
    while (written < block.length) {
      try {
        written += writeSync(this.#fd, block, written, undefined, this.#isFile ? this.#position + written : null)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
          continue
        }
        const whole = written === 0 ? 0 : block.lastIndexOf(10, written - 1) + 1
        for (let i = 0; i < whole; i++) if (block[i] === 10) this.#lines++
        this.#position += whole
        if (this.#isFile) ftruncateSync(this.#fd, this.#position)
        throw outputFailed(this.#path, error, `; it has the first ${this.#lines} lines whole`)
      }
    }
    this.#position += block.length
    this.#lines += lines
  }

  close(): void {
    this.flush()
    if (this.#fd !== 1) closeSync(this.#fd)
  }
}

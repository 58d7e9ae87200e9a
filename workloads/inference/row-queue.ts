import { setImmediate as turn } from 'node:timers/promises'
import { AppError } from '../../lib/errors.ts'

export interface RowQueueOptions {
  /** Rows that may wait; more are turned away, also those of one call. */
  readonly maxRows: number
  /** Bytes of rows that may wait. */
  readonly maxBytes: number
}

export interface Load {
  readonly rows: number
  readonly bytes: number
}

/**
 * Work on rows, one piece a turn of the event loop: between two pieces calls arrive, are cancelled and probes answered.
 */
export class RowQueue {
  readonly #limits: RowQueueOptions
  #waiting = 0
  #bytes = 0
  #last: Promise<unknown> = Promise.resolve()

  constructor(limits: RowQueueOptions) {
    this.#limits = limits
  }

  /** Rows that wait. */
  get waiting(): number {
    return this.#waiting
  }

  /**
   * Runs `work` when its turn comes, or leaves it undone where `isWanted` says then that nobody waits for it any more.
   * @throws AppError Unavailable at once where too many rows wait
   */
  async run<T>({ rows, bytes }: Load, isWanted: () => boolean, work: () => T): Promise<T | undefined> {
    const { maxRows, maxBytes } = this.#limits
    if (this.#waiting + rows > maxRows)
      throw new AppError('Unavailable', `${rows} rows are too many: ${this.#waiting} wait already, ${maxRows} may`)
    if (this.#bytes + bytes > maxBytes)
      throw new AppError('Unavailable', `${bytes} bytes are too many: ${this.#bytes} wait already, ${maxBytes} may`)
    this.#waiting += rows
    this.#bytes += bytes
    const turned = this.#last.then(() => turn())
    this.#last = turned
    try {
      await turned
      return isWanted() ? work() : undefined
    } finally {
      this.#waiting -= rows
      this.#bytes -= bytes
    }
  }
}

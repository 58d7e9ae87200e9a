import { setImmediate as turn } from 'node:timers/promises'
import { AppError } from '../../lib/errors.ts'

export interface RowQueueOptions {
  /** Rows that may wait; more are turned away. */
  readonly maxRows: number
}

/**
 * Work on rows, one piece a turn of the event loop: between two pieces calls arrive, are cancelled and probes answered.
 */
export class RowQueue {
  readonly #maxRows: number
  #waiting = 0
  #last: Promise<unknown> = Promise.resolve()

  constructor({ maxRows }: RowQueueOptions) {
    this.#maxRows = maxRows
  }

  /** Rows that wait. */
  get waiting(): number {
    return this.#waiting
  }

  /**
   * Runs `work` when its turn comes, or leaves it undone where `isWanted` says then that nobody waits for it any more.
   * @throws AppError Unavailable at once where too many rows wait
   */
  async run<T>(rows: number, isWanted: () => boolean, work: () => T): Promise<T | undefined> {
    if (this.#waiting > 0 && this.#waiting + rows > this.#maxRows)
      throw new AppError('Unavailable', `${this.#waiting} rows wait already, ${this.#maxRows} may; try again`)
    this.#waiting += rows
    const turned = this.#last.then(() => turn())
    this.#last = turned
    try {
      await turned
      return isWanted() ? work() : undefined
    } finally {
      this.#waiting -= rows
    }
  }
}

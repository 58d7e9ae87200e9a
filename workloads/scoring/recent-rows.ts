import { ColumnLayout, type NamedRows } from './column-layout.ts'

/** The last rows of a stream, by the columns of the last of them. */
export class RecentRows {
  readonly #capacity: number
  readonly #chunks: NamedRows[] = []
  #count = 0

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /** Copies what it keeps. */
  add({ columns, rows, count }: NamedRows): void {
    const kept = Math.min(count, this.#capacity)
    if (kept === 0) return
    const width = columns.length
    this.#chunks.push({ columns, rows: rows.slice((count - kept) * width, count * width), count: kept })
    this.#count += kept
    while (this.#count - this.#chunks[0]!.count >= this.#capacity) this.#count -= this.#chunks.shift()!.count
  }

  /** At most as many as there is room for, oldest first; of many calls' rows one list. */
  rows(): NamedRows {
    const { columns } = this.#chunks.at(-1) ?? { columns: [] }
    const layout = new ColumnLayout(columns)
    const width = columns.length
    const rows = new Float64Array(this.#count * width).fill(Number.NaN)
    let at = 0
    for (const chunk of this.#chunks) {
      const laid = layout.lay(chunk)
      const shared = Math.min(width, laid.width)
      for (let row = 0; row < chunk.count; row++, at++)
        rows.set(laid.rows.subarray(row * laid.width, row * laid.width + shared), at * width)
    }
    const from = Math.max(0, this.#count - this.#capacity)
    return { columns, rows: rows.subarray(from * width), count: this.#count - from }
  }
}

/** Numbers one after the other, as many as come, at eight bytes each. */
export class Column {
  #numbers = new Float64Array(1024)
  #length = 0

  push(x: number): void {
    if (this.#length === this.#numbers.length) {
      const wide = new Float64Array(this.#length * 2)
      wide.set(this.#numbers)
      this.#numbers = wide
    }
    this.#numbers[this.#length++] = x
  }

  get length(): number {
    return this.#length
  }

  /** A view of the numbers so far. */
  numbers(): Float64Array {
    return this.#numbers.subarray(0, this.#length)
  }
}

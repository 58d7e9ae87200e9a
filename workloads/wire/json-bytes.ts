/** The bytes of ASCII text. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0))
}

const quote = 34
const backslash = 92
const minus = 45
const point = 46
const zero = 48
const nil = ascii('null')
/** Memory that is asked for at once. */
const arenaBytes = 65_536
/** Texts come in more kinds (internalized, sliced, ...) than V8 tells apart: `text.charCodeAt` would be looked up for every character. */
const { charCodeAt } = String.prototype

/**
 * JSON text put together as bytes, which costs half of what joining strings does: neither ropes nor their flattening.
 * Numbers are written by hand as well, since the shortest text of a double takes V8 a fifth of a microsecond.
 */
export class JsonBytes {
  #bytes = Buffer.allocUnsafeSlow(arenaBytes)
  /** Where the text begins: before it lie those that were taken. */
  #start = 0
  #length = 0
  #isAscii = true

  /** Forgets what was written. */
  clear(): void {
    this.#length = this.#start
    this.#isAscii = true
  }

  toString(): string {
    return this.#isAscii
      ? this.#bytes.toString('latin1', this.#start, this.#length)
      : this.#bytes.toString('utf8', this.#start, this.#length)
  }

  /** The text as bytes that stay as they are: a view of memory that many texts share. */
  take(): Buffer {
    const taken = this.#bytes.subarray(this.#start, this.#length)
    this.#start = this.#length
    return taken
  }

  /** JSON that is ready: punctuation and names of fields. A loop, since a call into native code costs as much as 30 bytes. */
  raw(bytes: Uint8Array): void {
    const to = this.#reserve(bytes.length)
    const into = this.#bytes
    for (let i = 0; i < bytes.length; i++) into[to + i] = bytes[i]!
  }

  /** Text that needs no escaping. */
  plain(text: string): void {
    const { length } = text
    const to = this.#reserve(length)
    const into = this.#bytes
    for (let i = 0; i < length; i++) {
      const unit = charCodeAt.call(text, i)
      if (unit > 126) {
        this.#length = to
        this.#any(text)
        return
      }
      into[to + i] = unit
    }
  }

  /** The text as a JSON string. */
  text(text: string): void {
    const { length } = text
    const to = this.#reserve(length + 2)
    const into = this.#bytes
    into[to] = quote
    for (let i = 0; i < length; i++) {
      const unit = charCodeAt.call(text, i)
      if (unit < 32 || unit > 126 || unit === quote || unit === backslash) {
        this.#length = to
        this.#any(JSON.stringify(text))
        return
      }
      into[to + 1 + i] = unit
    }
    into[to + 1 + length] = quote
  }

  /** String(x) of x rounded to six decimals. */
  sixDecimals(x: number): void {
    const millionths = Math.round(x * 1e6)
    if (!(millionths > 0 && millionths < 1e6)) this.plain(String(millionths / 1e6))
    else {
      this.#byte(zero)
      this.#fraction(millionths, 6)
    }
  }

  /** Five decimals; six significant digits from a million on and below 0.1. Null where JSON has no such number. */
  number(x: number | null): void {
    const size = Math.abs(x ?? Number.NaN)
    if (!Number.isFinite(size)) this.raw(nil)
    else if (size >= 1e6 || (size < 0.1 && size > 0)) this.plain(String(Number(x!.toPrecision(6))))
    else {
      const parts = Math.round(1e5 * x!)
      const whole = Math.floor(Math.abs(parts) / 1e5)
      if (parts < 0) this.#byte(minus)
      this.#digits(
        whole,
        whole < 10 ? 1 : whole < 100 ? 2 : whole < 1000 ? 3 : whole < 1e4 ? 4 : whole < 1e5 ? 5 : whole < 1e6 ? 6 : 7,
      )
      this.#fraction(Math.abs(parts) - 1e5 * whole, 5)
    }
  }

  /** String(x), quicker for times in ms. */
  time(x: number | null): void {
    if (x === null || !(x >= 1e12 && x < 1e13) || x % 1 !== 0) this.plain(String(x))
    else {
      const millions = Math.floor(x / 1e6)
      this.#digits(millions, 7)
      this.#digits(x - 1e6 * millions, 6)
    }
  }

  #any(text: string): void {
    const to = this.#reserve(3 * text.length)
    this.#length = to + this.#bytes.write(text, to)
    this.#isAscii = false
  }

  #byte(unit: number): void {
    const to = this.#reserve(1)
    this.#bytes[to] = unit
  }

  /** A point and the digits of `part`, a whole number of so many digits, without zeros at the end; nothing for 0. */
  #fraction(part: number, digits: number): void {
    if (part === 0) return
    this.#byte(point)
    let rest = part
    let count = digits
    while (rest % 10 === 0) {
      rest = (rest / 10) | 0
      count--
    }
    this.#digits(rest, count)
  }

  #digits(n: number, count: number): void {
    const from = this.#reserve(count)
    const into = this.#bytes
    let rest = n | 0
    for (let at = from + count - 1; at >= from; at--) {
      const next = (rest / 10) | 0
      into[at] = zero + rest - 10 * next
      rest = next
    }
  }

  /** Where the next so many bytes go. */
  #reserve(bytes: number): number {
    const from = this.#length
    this.#length = from + bytes
    return this.#length > this.#bytes.length ? this.#moveTo(from, bytes) : from
  }

  /** Goes on in memory of its own: what was taken keeps the former. */
  #moveTo(end: number, bytes: number): number {
    const written = end - this.#start
    const next = Buffer.allocUnsafeSlow(Math.max(arenaBytes, 2 * (written + bytes)))
    this.#bytes.copy(next, 0, this.#start, end)
    this.#bytes = next
    this.#start = 0
    this.#length = written + bytes
    return written
  }
}

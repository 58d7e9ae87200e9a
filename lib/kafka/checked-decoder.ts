/** kafkajs' decoder of replies. */
export interface ReplyDecoder {
  readonly buffer: Buffer
  offset: number
  readInt16(): number
  readInt32(): number
  readString(): string | null
  readUVarInt(): number
  readUVarIntString(): string | null
  readBytes(size?: number): Buffer | null
  readArray<T>(read: (decoder: ReplyDecoder) => T): T[]
  readArrayAsync<T>(read: (decoder: ReplyDecoder) => Promise<T>): Promise<T[]>
}

/**
 * Makes the decoder look at each length before it reads. The stock one goes backwards on a negative one, so that a damaged
 * reply, or a broker that lies, lets it read the same bytes for ever; and it gives what is not there as empty.
 */
export function checkLengths(decoder: ReplyDecoder): void {
  const { readUVarInt } = decoder
  const take = (of: ReplyDecoder, size: number): Buffer => {
    if (!(size >= 0 && size <= of.buffer.length - of.offset)) {
      throw new RangeError(`${size} bytes are announced where ${of.buffer.length - of.offset} are left`)
    }
    of.offset += size
    return of.buffer.subarray(of.offset - size, of.offset)
  }
  const text = (bytes: Buffer | null): string | null => (bytes === null ? null : bytes.toString('utf8'))
  const nullable = (of: ReplyDecoder, size: number): Buffer | null => (size === -1 ? null : take(of, size))
  /** An element has a byte at least. */
  const counted = (of: ReplyDecoder, count: number): number => {
    if (!(count >= 0 && count <= of.buffer.length - of.offset)) {
      throw new RangeError(`${count} elements are announced where ${of.buffer.length - of.offset} bytes are left`)
    }
    return count
  }
  const list = <T>(of: ReplyDecoder, count: number, read: (decoder: ReplyDecoder) => T): T[] => {
    return count === -1 ? [] : Array.from({ length: counted(of, count) }, () => read(of))
  }
  Object.assign(decoder, {
    readString() {
      return text(nullable(this, this.readInt16()))
    },
    readUVarInt() {
      const number = readUVarInt.call(this)
      if (this.offset > this.buffer.length) throw new RangeError('it ends within a number')
      return number
    },
    readUVarIntString() {
      return text(nullable(this, this.readUVarInt() - 1))
    },
    readBytes(size) {
      return nullable(this, size ?? this.readInt32())
    },
    readArray(read) {
      return list(this, this.readInt32(), read)
    },
    async readArrayAsync(read) {
      const count = this.readInt32()
      const array = []
      for (let left = count === -1 ? 0 : counted(this, count); left > 0; left--) array.push(await read(this))
      return array
    },
  } satisfies Partial<ReplyDecoder> & ThisType<ReplyDecoder>)
}

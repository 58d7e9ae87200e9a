/** kafkajs' writer of requests. */
export interface RequestEncoder {
  writeInt8(value: number): this
  writeInt16(value: number): this
  writeInt32(value: number): this
  writeInt64(value: string | number): this
  writeBoolean(value: boolean): this
  writeUVarInt(value: number): this
  writeUVarIntString(value: string | null): this
  writeBuffer(value: Buffer): this
}
export type RequestEncoderClass = new () => RequestEncoder

/** kafkajs' reader of replies. */
export interface ReplyReader {
  readInt8(): number
  readInt16(): number
  readInt32(): number
  readInt64(): { toString(): string }
  readBoolean(): boolean
  readBytes(length: number): Buffer
  readUVarInt(): number
  readUVarIntString(): string | null
}
export type ReplyReaderClass = new (bytes: Buffer) => ReplyReader

interface Protocol {
  readonly request: {
    readonly apiKey: number
    readonly apiVersion: number
    readonly apiName: string
    readonly encode: () => Promise<RequestEncoder>
  }
  readonly response: {
    readonly decode: (bytes: Buffer) => Promise<unknown>
    readonly parse: (data: never) => Promise<unknown>
  }
}

/** What kafkajs keeps of each request: its versions, and each one's protocol. */
export interface RequestVersions<R> {
  readonly versions: readonly string[]
  readonly protocol: (of: { readonly version: number | string }) => (request: R) => Protocol
}

/** Adds a version to those that kafkajs knows. Where the broker knows only a version between, the one below is taken. */
export function withVersion<R>(
  stock: RequestVersions<R>,
  version: number,
  protocol: (request: R) => Protocol,
): RequestVersions<R> {
  const newest = Math.max(...stock.versions.map(Number))
  return {
    versions: [...stock.versions, String(version)],
    protocol: (of) => {
      return Number(of.version) >= version
        ? protocol
        : stock.protocol({ version: Math.min(newest, Number(of.version)) })
    },
  }
}

/** No tagged fields: what ends each structure of a flexible version. */
export const noTags = 0

/** An array of a flexible version: its length is written with one added. */
export function writeArray<T>(encoder: RequestEncoder, items: readonly T[], write: (item: T) => void): void {
  encoder.writeUVarInt(items.length + 1)
  for (const item of items) write(item)
}

export function readArray<T>(reader: ReplyReader, read: () => T): T[] {
  const length = reader.readUVarInt() - 1
  return Array.from({ length: Math.max(0, length) }, read)
}

export function skipTags(reader: ReplyReader): void {
  for (let count = reader.readUVarInt(); count > 0; count--) {
    reader.readUVarInt()
    reader.readBytes(reader.readUVarInt())
  }
}

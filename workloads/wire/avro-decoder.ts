import avsc, { type Schema, type Type } from 'avsc'

/** Integers that a double cannot hold are bigints: as ids and keys they mean what is written. */
const long = avsc.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => numberOf(bytes.readBigInt64LE()),
  toBuffer: (value: number | bigint) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(BigInt(value))
    return bytes
  },
  fromJSON: Number,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === 'bigint' || Number.isSafeInteger(value),
  compare: (a: number | bigint, b: number | bigint) => (a < b ? -1 : a > b ? 1 : 0),
})

function numberOf(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
}

/** Bytes that hold a whole number, and how many of its digits are decimals. */
class Decimal extends avsc.types.LogicalType {
  readonly #scale: number

  constructor(schema: Schema, options?: unknown) {
    // Its types lack the second argument.
    super(...([schema, options] as unknown as [Schema]))
    this.#scale = (schema as { readonly scale?: number }).scale ?? 0
  }

  protected override _fromValue(bytes: Buffer): number {
    if (bytes.length === 0) return 0
    const digits = BigInt.asIntN(8 * bytes.length, BigInt(`0x${bytes.toString('hex')}`))
    return Number(`${digits}e-${this.#scale}`)
  }

  protected override _toValue(): undefined {
    return undefined
  }
}

/** @param references schemas that this one names, those that others need first */
export function avroDecoder(schema: string, references: readonly string[]): (bytes: Buffer) => unknown {
  const registry: Record<string, Type> = { long }
  const options = { registry, logicalTypes: { decimal: Decimal }, omitRecordMethods: true, wrapUnions: 'auto' } as const
  for (const reference of references) avsc.Type.forSchema(JSON.parse(reference), options)
  const type = avsc.Type.forSchema(JSON.parse(schema), options)
  return (bytes) => type.fromBuffer(bytes)
}

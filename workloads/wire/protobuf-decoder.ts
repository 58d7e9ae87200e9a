import protobuf from 'protobufjs'

type Path = readonly number[]

/** @param references files that this one imports, by the path that it imports them by */
export function protobufDecoder(schema: string, references: ReadonlyMap<string, string>): (bytes: Buffer) => unknown {
  const root = new protobuf.Root()
  const { package: name = '', imports = [] } = protobuf.parse(schema, root, { keepCase: true })
  const messages = messagesOf(root.lookup(name) as protobuf.Namespace)
  for (const text of references.values()) protobuf.parse(text, root, { keepCase: true })
  for (const path of imports) {
    const common = protobuf.common.get(path)
    if (common?.nested !== undefined && !references.has(path)) root.addJSON(common.nested)
  }
  root.resolveAll()
  return (bytes) => {
    const reader = protobuf.Reader.create(bytes)
    const path = pathOf(reader)
    const type = typeAt(messages, path)
    const message = type.decode(reader)
    return plain(type, type.toObject(message, { defaults: true, enums: String }))
  }
}

/** In the order of their file. */
function messagesOf({ nestedArray }: protobuf.NamespaceBase): readonly protobuf.Type[] {
  return nestedArray.filter((nested) => nested instanceof protobuf.Type)
}

/** Which message of the file it is: places among those of each level, in front of the message. */
function pathOf(reader: protobuf.Reader): Path {
  const count = reader.sint32()
  if (count < 0 || count > 100) throw new RangeError('the index of the message is broken')
  return count === 0 ? [0] : Array.from({ length: count }, () => reader.sint32())
}

function typeAt(messages: readonly protobuf.Type[], path: Path): protobuf.Type {
  let type: protobuf.Type | undefined
  for (const index of path) type = (type === undefined ? messages : messagesOf(type))[index]
  if (type === undefined) throw new RangeError(`the schema has no message ${path.join('.')}`)
  return type
}

const wrapper = /^\.google\.protobuf\.(Double|Float|Int64|UInt64|Int32|UInt32|Bool|String|Bytes)Value$/

/** The fields as JSON would have them: numbers, text, objects; times in ms; integers beyond a double as bigints. */
function plain(type: protobuf.Type, object: Record<string, unknown>): unknown {
  const name = type.fullName
  if (name === '.google.protobuf.Timestamp')
    return Number(plainValue(undefined, object.seconds)) * 1000 + Math.round(Number(object.nanos) / 1e6)
  const fields: Record<string, unknown> = {}
  for (const field of type.fieldsArray) {
    const value = object[field.name]
    if (value === undefined) continue
    const nested = field.resolvedType instanceof protobuf.Type ? field.resolvedType : undefined
    if (Array.isArray(value)) fields[field.name] = value.map((item) => plainValue(nested, item))
    else if (field instanceof protobuf.MapField)
      fields[field.name] = Object.fromEntries(
        Object.entries(value as object).map(([key, item]) => [key, plainValue(nested, item)]),
      )
    else fields[field.name] = plainValue(nested, value)
  }
  return wrapper.test(name) ? fields.value : fields
}

function plainValue(type: protobuf.Type | undefined, value: unknown): unknown {
  if (type !== undefined && value !== null) return plain(type, value as Record<string, unknown>)
  // The class of longs, whose types lack how it tells its own.
  const { Long } = protobuf.util as unknown as { readonly Long: { isLong(value: unknown): boolean } }
  if (!Long.isLong(value)) return value
  const number = BigInt(String(value))
  return Number.isSafeInteger(Number(number)) ? Number(number) : number
}

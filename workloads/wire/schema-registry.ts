import { AppError, messageOf } from '../../lib/errors.ts'
import { type ParsedBody, parseBody } from './json-body.ts'
import type { Rejection } from './rejection.ts'

export interface SchemaRegistryOptions {
  readonly url: string
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** Under which the schemas of the records are registered, for messages. */
  readonly subject: string
  readonly clock: () => number
  readonly timeoutMs?: number | undefined
}

/** Reads bodies in Confluent's framing: a zero byte, the id of a schema (4 bytes), then Avro, Protobuf or JSON. */
export interface SchemaRegistry {
  /** Fetches the schemas that these bodies need. @throws AppError Unavailable where the registry does not answer */
  prepare(bodies: readonly (Buffer | string | null)[], signal?: AbortSignal): Promise<void>
  /** A body whose schema was prepared; one without framing is JSON. */
  parse(body: Buffer | string | null): ParsedBody
}

type Decoder = (bytes: Buffer) => unknown

interface Registered {
  readonly schema: string
  readonly schemaType?: 'AVRO' | 'PROTOBUF' | 'JSON'
  readonly references?: readonly { readonly name: string; readonly subject: string; readonly version: number }[]
}

interface Prepared {
  readonly decoder: Decoder | 'Json' | Rejection
  /** When to look again for what was not there; never where it was. */
  readonly until: number
}

const frameBytes = 5
/** An id that is not known may be registered meanwhile. */
const lookAgainMs = 30_000
const mostSchemas = 1000
const largestAnswer = 4 * 2 ** 20

export function createSchemaRegistry(options: SchemaRegistryOptions): SchemaRegistry {
  const { subject, clock } = options
  const get = registryClient(options)
  const schemas = new Map<number, Prepared>()

  async function fetchSchema(id: number, signal: AbortSignal | undefined): Promise<Prepared> {
    const found = (await get(`/schemas/ids/${id}`, signal)) as Registered | undefined
    if (found === undefined) {
      const message = `the registry has no schema ${id}, which the record of subject ${subject} names`
      return { decoder: { reason: 'UnknownSchema', message }, until: clock() + lookAgainMs }
    }
    try {
      return { decoder: await decoderOf(found, signal), until: Number.POSITIVE_INFINITY }
    } catch (error) {
      if (error instanceof AppError && error.retriable) throw error
      const message = `schema ${id} of subject ${subject} cannot be used: ${messageOf(error).slice(0, 200)}`
      return { decoder: { reason: 'UnknownSchema', message }, until: clock() + lookAgainMs }
    }
  }

  async function decoderOf(registered: Registered, signal: AbortSignal | undefined): Promise<Decoder | 'Json'> {
    const { schema, schemaType = 'AVRO' } = registered
    if (schemaType === 'JSON') return 'Json'
    const references = new Map<string, string>()
    await addReferences(registered, references, signal)
    // Most pipelines need neither.
    if (schemaType === 'AVRO') return (await import('./avro-decoder.ts')).avroDecoder(schema, [...references.values()])
    return (await import('./protobuf-decoder.ts')).protobufDecoder(schema, references)
  }

  /** Those first that others need. */
  async function addReferences(
    { references = [] }: Registered,
    found: Map<string, string>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    for (const { name, subject, version } of references) {
      if (found.has(name)) continue
      if (found.size === mostSchemas) throw new AppError('InvalidArgument', 'it refers to too many others')
      const path = `/subjects/${encodeURIComponent(subject)}/versions/${version}`
      const registered = (await get(path, signal)) as Registered | undefined
      if (registered === undefined)
        throw new AppError('NotFound', `it refers to ${subject} ${version}, which is missing`)
      await addReferences(registered, found, signal)
      found.set(name, registered.schema)
    }
  }

  return {
    async prepare(bodies, signal) {
      const missing = new Set<number>()
      for (const body of bodies) {
        const id = schemaIdOf(body)
        if (id !== undefined && !((schemas.get(id)?.until ?? Number.NEGATIVE_INFINITY) > clock())) missing.add(id)
      }
      for (const id of missing) {
        if (schemas.size >= mostSchemas) schemas.delete(schemas.keys().next().value!)
        schemas.set(id, await fetchSchema(id, signal))
      }
    },
    parse(body) {
      const id = schemaIdOf(body)
      if (id === undefined) return parseBody(body)
      const decoder = schemas.get(id)?.decoder
      if (decoder === undefined) return { reason: 'UnknownSchema', message: `schema ${id} was not looked up` }
      if (typeof decoder === 'object') return decoder
      const content = (body as Buffer).subarray(frameBytes)
      if (decoder === 'Json') return parseBody(content)
      try {
        return { value: decoder(content) }
      } catch (error) {
        const message = `the record is not of schema ${id} of subject ${subject}: ${messageOf(error).slice(0, 200)}`
        return { reason: 'MalformedRecord', message }
      }
    },
  }
}

/** Undefined for a body without framing. */
function schemaIdOf(body: Buffer | string | null): number | undefined {
  return Buffer.isBuffer(body) && body[0] === 0 && body.length >= frameBytes ? body.readUInt32BE(1) : undefined
}

/** Gets a path as JSON; undefined where there is nothing (404). */
function registryClient({ url, username, password, timeoutMs = 10_000 }: SchemaRegistryOptions) {
  const base = url.replace(/\/+$/, '')
  const login = Buffer.from(`${username ?? ''}:${password ?? ''}`).toString('base64')
  const headers = {
    Accept: 'application/vnd.schemaregistry.v1+json, application/json',
    ...(username === undefined ? {} : { Authorization: `Basic ${login}` }),
  }
  return async (path: string, signal: AbortSignal | undefined): Promise<unknown> => {
    const limits = [AbortSignal.timeout(timeoutMs), ...(signal === undefined ? [] : [signal])]
    try {
      const response = await fetch(`${base}${path}`, { headers, signal: AbortSignal.any(limits), redirect: 'error' })
      const text = await boundedText(response)
      if (response.status === 404) return undefined
      if (!response.ok) throw new Error(`it answered ${response.status}`)
      return JSON.parse(text)
    } catch (error) {
      const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : ''
      throw new AppError('Unavailable', `schema registry ${base}: ${messageOf(error)}${cause}`, { cause: error })
    }
  }
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > largestAnswer) throw new Error(`its answer has more than ${largestAnswer} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

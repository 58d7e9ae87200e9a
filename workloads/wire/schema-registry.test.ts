import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import avsc from 'avsc'
import { expect } from 'chai'
import protobuf from 'protobufjs'
import { AppError } from '../../lib/errors.ts'
import { createSchemaRegistry, type SchemaRegistry } from './schema-registry.ts'

const framed = (id: number, content: Uint8Array): Buffer => {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(id, 1)
  return Buffer.concat([head, content])
}

const payment = {
  type: 'record',
  name: 'Payment',
  fields: [
    { name: 'userId', type: 'long' },
    { name: 'value', type: ['null', 'double'] },
    { name: 'paid', type: { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 } },
    { name: 'features', type: { type: 'map', values: 'double' } },
    { name: 'place', type: ['null', 'Place'] },
  ],
}
const place = { type: 'record', name: 'Place', fields: [{ name: 'country', type: 'string' }] }

const proto = `syntax = "proto3"; package shop;
import "google/protobuf/timestamp.proto"; import "place.proto";
message Other { string note = 1; }
message Payment {
  message Line { double amount = 1; }
  int64 user_id = 1; double value = 2; google.protobuf.Timestamp at = 3; optional double fee = 4;
  map<string, double> features = 5; shop.Place place = 6; repeated int64 ids = 7;
}`
const placeProto = 'syntax = "proto3"; package shop; message Place { string country = 1; }'

describe('createSchemaRegistry()', () => {
  let server: Server
  let registry: SchemaRegistry
  let now = 0
  const asked: string[] = []
  const answers = new Map<string, unknown>()
  let status = 200

  before((done) => {
    answers.set('/schemas/ids/1', {
      schema: JSON.stringify(payment),
      references: [{ name: 'Place', subject: 'place', version: 3 }],
    })
    answers.set('/subjects/place/versions/3', { schema: JSON.stringify(place) })
    answers.set('/schemas/ids/2', {
      schemaType: 'PROTOBUF',
      schema: proto,
      references: [{ name: 'place.proto', subject: 'place-proto', version: 1 }],
    })
    answers.set('/subjects/place-proto/versions/1', { schemaType: 'PROTOBUF', schema: placeProto })
    answers.set('/schemas/ids/3', { schemaType: 'JSON', schema: '{}' })
    answers.set('/schemas/ids/4', { schema: '{"type":"nonsense"}' })
    answers.set('/schemas/ids/5', { schema: 'x'.repeat(5 * 2 ** 20) })
    server = createServer((request, response) => {
      asked.push(`${request.url} ${request.headers.authorization ?? ''}`.trim())
      const answer = answers.get(request.url!)
      response.writeHead(answer === undefined ? 404 : status).end(JSON.stringify(answer ?? { error_code: 40403 }))
    }).listen(0, '127.0.0.1', done)
  })
  after((done) => {
    server.close(done)
  })
  beforeEach(() => {
    asked.length = 0
    status = 200
    const { port } = server.address() as AddressInfo
    registry = createSchemaRegistry({ url: `http://127.0.0.1:${port}/`, subject: 'events-value', clock: () => now })
  })

  async function read(...bodies: Buffer[]) {
    await registry.prepare(bodies)
    return bodies.map((body) => registry.parse(body))
  }

  it('reads Avro with references, decimals, unions and longs beyond what a double holds', async () => {
    const types = { Place: avsc.Type.forSchema(place as avsc.Schema) }
    const long = avsc.types.LongType.__with({
      fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
      toBuffer: (value: bigint) => {
        const bytes = Buffer.alloc(8)
        bytes.writeBigInt64LE(value)
        return bytes
      },
      fromJSON: BigInt,
      toJSON: Number,
      isValid: (value: unknown) => typeof value === 'bigint',
      compare: () => 0,
    })
    const type = avsc.Type.forSchema(payment as avsc.Schema, { registry: { ...types, long } })
    const bodies = [1524831183200260097n, 7n].map((userId) =>
      framed(
        1,
        type.toBuffer({
          userId,
          value: 2.5,
          paid: Buffer.from([0xff, 0x38]),
          features: { a: 1 },
          place: { country: 'BR' },
        }),
      ),
    )
    const [exact, small] = await read(...bodies)
    const event = { value: 2.5, paid: -2, features: { a: 1 }, place: { country: 'BR' } }
    expect(exact).to.deep.equal({ value: { userId: 1524831183200260097n, ...event } })
    expect(small).to.deep.equal({ value: { userId: 7, ...event } })
    expect(asked).to.deep.equal(['/schemas/ids/1', '/subjects/place/versions/3'])
  })

  it('reads Protobuf: nested messages, imports, maps, times, absent and default values', async () => {
    const root = protobuf.parse(proto.replace(/import "place.proto";/, ''), new protobuf.Root(), {
      keepCase: true,
    }).root
    protobuf.parse(placeProto, root)
    root.addJSON(protobuf.common.get('google/protobuf/timestamp.proto')!.nested!)
    const type = root.lookupType('shop.Payment')
    const content = type
      .encode(
        type.fromObject({
          user_id: '1524831183200260097',
          at: { seconds: 1640000000, nanos: 123000000 },
          features: { a: 1 },
          place: { country: 'BR' },
          ids: ['1', '9007199254740993'],
        }),
      )
      .finish()
    const line = root.lookupType('shop.Payment.Line').encode({ amount: 2 }).finish()
    const [event, first, nested, broken] = await read(
      framed(2, Buffer.concat([Buffer.from([2, 2]), content])),
      framed(2, Buffer.from([0])),
      framed(2, Buffer.concat([Buffer.from([4, 2, 0]), line])),
      framed(2, Buffer.from([2, 18])),
    )
    expect(event).to.deep.equal({
      value: {
        user_id: 1524831183200260097n,
        value: 0,
        at: 1640000000123,
        features: { a: 1 },
        place: { country: 'BR' },
        ids: [1, 9007199254740993n],
      },
    })
    expect(first).to.deep.equal({ value: { note: '' } })
    expect(nested).to.deep.equal({ value: { amount: 2 } })
    expect(broken).to.include({ reason: 'MalformedRecord' })
  })

  it('reads JSON in the framing and without it', async () => {
    const json = Buffer.from('{"userId":1}')
    const parsed = await read(framed(3, json), json)
    expect(parsed.map((body) => 'value' in body && body.value)).to.deep.equal([{ userId: 1 }, { userId: 1 }])
    expect(registry.parse(null)).to.include({ reason: 'Tombstone' })
  })

  it('says which schema of which subject is missing or of no use, and looks again later', async () => {
    const [missing, nonsense] = await read(framed(9, Buffer.from('x')), framed(4, Buffer.from('x')))
    expect(missing).to.deep.equal({
      reason: 'UnknownSchema',
      message: 'the registry has no schema 9, which the record of subject events-value names',
    })
    expect(nonsense).to.have.property('message').that.includes('schema 4 of subject events-value cannot be used')
    await read(framed(9, Buffer.from('x')))
    expect(asked).to.have.length(2)
    answers.set('/schemas/ids/9', { schemaType: 'JSON', schema: '{}' })
    now += 60_000
    expect(await read(framed(9, Buffer.from('{"a":1}')))).to.have.nested.property('[0].value.a', 1)
    answers.delete('/schemas/ids/9')
  })

  it('takes damaged records for that, whatever their bytes are', async () => {
    for (let i = 0; i < 300; i++) {
      const content = Buffer.from(Array.from({ length: i % 40 }, (_, n) => (i * 7919 + n * 104729) % 256))
      for (const [id, body] of [
        [1, content],
        [2, content],
        [3, content],
      ] as const) {
        const [parsed] = await read(framed(id, body))
        if ('reason' in parsed!) expect(parsed.message.length).to.be.below(400)
      }
    }
  })

  it('fails for a while where the registry does, and takes no endless answer', async () => {
    status = 503
    const failureOf = async (id: number) =>
      registry.prepare([framed(id, Buffer.from('x'))]).catch((error: AppError) => error)
    const failure = (await failureOf(1)) as AppError
    expect(failure).to.be.instanceOf(AppError).with.property('retriable', true)
    expect(failure.message).to.match(/^schema registry http:\/\/127\.0\.0\.1:\d+: it answered 503$/)
    status = 200
    expect(((await failureOf(5)) as AppError).message).to.include('more than 4194304 bytes')
  })

  it('logs in where it has a name', async () => {
    const { port } = server.address() as AddressInfo
    const options = { url: `http://127.0.0.1:${port}`, subject: 's', clock: () => now, username: 'u', password: 'p' }
    await createSchemaRegistry(options).prepare([framed(3, Buffer.from('{}'))])
    expect(asked).to.deep.equal([`/schemas/ids/3 Basic ${btoa('u:p')}`])
  })
})

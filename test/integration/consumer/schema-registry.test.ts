import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import avsc from 'avsc'
import { expect } from 'chai'
import protobuf from 'protobufjs'
import { eventually } from '../../harness/eventually.ts'
import { type Cluster, patience, type Read, startCluster } from './cluster.ts'

const username = 'anomaly'
const password = 'the password of the registry'

const avro = {
  type: 'record',
  name: 'Payment',
  fields: [
    { name: 'eventId', type: 'string' },
    { name: 'userId', type: 'string' },
    { name: 'value', type: 'double' },
    { name: 'country', type: ['null', 'string'] },
    { name: 'timestamp', type: { type: 'long', logicalType: 'timestamp-millis' } },
  ],
} as const
const proto = `syntax = "proto3"; message Payment {
  string eventId = 1; string userId = 2; double value = 3; string country = 4; int64 timestamp = 5;
}`
const avroType = avsc.Type.forSchema(avro as unknown as avsc.Schema)
const protoType = protobuf.parse(proto, { keepCase: true }).root.lookupType('Payment')

interface Payment {
  readonly eventId: string
  readonly userId: string
  readonly value: number
  readonly country: string
  readonly timestamp: number
}

const framed = (id: number, ...content: readonly Uint8Array[]): Buffer => {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(id, 1)
  return Buffer.concat([head, ...content])
}
/** The same payment in each of the three formats. */
const encoders: readonly ((payment: Payment) => Buffer)[] = [
  (payment) => framed(1, avroType.toBuffer(payment)),
  (payment) => framed(2, Buffer.from([0]), protoType.encode(protoType.fromObject(payment)).finish()),
  (payment) => framed(3, Buffer.from(JSON.stringify(payment))),
]

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('A consumer with a schema registry', function () {
  this.timeout(patience)
  let cluster: Cluster
  let registry: Server
  let isAway = false
  const refused: string[] = []
  const schemas = new Map<string, object>([
    ['/schemas/ids/1', { schema: JSON.stringify(avro) }],
    ['/schemas/ids/2', { schemaType: 'PROTOBUF', schema: proto }],
    ['/schemas/ids/3', { schemaType: 'JSON', schema: '{}' }],
  ])

  before(async () => {
    registry = createServer((request, response) => {
      const isKnown = request.headers.authorization === `Basic ${btoa(`${username}:${password}`)}`
      if (!isKnown) refused.push(request.url!)
      const schema = schemas.get(request.url!)
      response.writeHead(isAway ? 503 : !isKnown ? 401 : schema === undefined ? 404 : 200)
      response.end(JSON.stringify(schema ?? { error_code: 40403 }))
    }).listen(0, '127.0.0.1')
    cluster = await startCluster()
  })
  after(async () => {
    registry.close()
    await cluster?.stop()
  })

  it('judges Avro, Protobuf and JSON as one stream, categories too, and waits while the registry is away', async () => {
    const { port } = registry.address() as AddressInfo
    const scene = await cluster.scene({
      partitions: 1,
      schemaRegistry: { url: `http://127.0.0.1:${port}`, username, password },
      event: { features: '', categories: ['country'] },
      detection: { refractorySeconds: 0, detectors: [{ name: 'profile', profile: {} }] },
    })
    const inference = await scene.inference()
    const consumer = await scene.consumer({ inference: inference.address })
    const paymentOf = (i: number, country = 'DE'): Payment => ({
      eventId: `p-${i}`,
      userId: `user-${i % 3}`,
      value: 20 + (i % 7),
      country,
      timestamp: 1_700_000_000_000 + i * 60_000,
    })
    const send = (values: readonly Buffer[]) => scene.send(values.map((value, i) => ({ key: `user-${i % 3}`, value })))

    isAway = true
    await send(Array.from({ length: 900 }, (_, i) => encoders[i % 3]!(paymentOf(i))))
    await eventually(async () => expect((await consumer.probe('readyz')).failing + consumer.log()).to.include('503'))
    expect(await scene.read(scene.topics.deadLetters), 'a failure of the registry is not the records').to.deep.equal([])
    isAway = false
    // An unknown schema, a damaged record, and a country that no user was ever seen in, in each format.
    const strange = encoders.map((encode, i) => encode(paymentOf(900 + i, 'BR')))
    await send([framed(9, Buffer.from('x')), framed(1, Buffer.from([255])), ...strange])
    await scene.caughtUp()
    await eventually(async () => expect(await scene.read(scene.topics.deadLetters)).to.have.length(2))

    const verdicts = (await scene.read(scene.topics.results)).map(({ value }) => JSON.parse(String(value)))
    expect(verdicts.map(({ eventId }) => eventId)).to.deep.equal(Array.from({ length: 903 }, (_, i) => `p-${i}`))
    expect(verdicts[1]).to.include({ userId: 'user-1', timestamp: 1_700_000_060_000 })
    for (const { reasons } of verdicts.slice(900))
      expect(reasons).to.deep.include.members([
        reasons.find(({ category }: { category?: string }) => category === 'BR'),
      ])
    for (const { anomalyScore } of verdicts.slice(900)) expect(anomalyScore).to.be.above(0.9)
    const dead = await scene.read(scene.topics.deadLetters)
    const reasonOf = ({ headers }: Read) => [`${headers?.['anomaly-reason']}`, `${headers?.['anomaly-message']}`]
    const reasons = dead.map(reasonOf)
    expect(reasons.map(([reason]) => reason)).to.deep.equal(['UnknownSchema', 'MalformedRecord'])
    for (const [, message] of reasons) expect(message).to.include(`subject ${scene.topics.source}-value`)
    expect(refused).to.deep.equal([])
    expect(consumer.log()).not.to.include(password)
  })
})

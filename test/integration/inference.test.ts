import { once } from 'node:events'
import { connect, constants } from 'node:http2'
import { setTimeout as delay } from 'node:timers/promises'
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire'
import {
  Client,
  type ClientOptions,
  connectivityState,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { expect } from 'chai'
import { nextRefit } from '../../workloads/detection/refit-schedule.ts'
import { ScoringServiceClient, ScoringServiceService } from '../../workloads/gen/anomaly/v1/scoring.ts'
import {
  AnomalyDetectionServiceClient,
  AnomalyRequest,
  type AnomalyResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../workloads/gen/anomaly_detection.ts'
import {
  HealthClient,
  HealthCheckResponse_ServingStatus as StandardStatus,
} from '../../workloads/gen/grpc/health/v1/health.ts'
import { createGrpcScorer } from '../../workloads/scoring/grpc.ts'
import { packNumbers, schemaIdOf } from '../../workloads/scoring/packed-rows.ts'
import { behavesAsScorer } from '../../workloads/scoring/scorer-suite.ts'
import { eventually } from '../harness/eventually.ts'
import { type Served, serve } from './inference/serve.ts'

describe('Scoring over gRPC', () => {
  behavesAsScorer(async () => {
    const served = await serve()
    const scorer = createGrpcScorer({ address: served.address })
    return {
      scorer,
      settled: () =>
        eventually(async () => {
          // Nothing is being fitted, nor about to be: the model stays.
          const { modelRows, rowsSeen } = await served.status()
          expect(nextRefit(modelRows, 5000)).to.be.above(rowsSeen)
        }),
      close: async () => {
        scorer.stop()
        await served.stop()
      },
    }
  })
})

describe('Inference server', () => {
  let served: Served
  const clients: Client[] = []
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close()
    await served?.stop()
  })

  type ClientClass<T> = new (address: string, channel: ReturnType<typeof credentials.createInsecure>, options?: ClientOptions) => T // biome-ignore format: one line
  function clientOf<T extends Client>(type: ClientClass<T>, options?: ClientOptions): T {
    const client = new type(served.address, credentials.createInsecure(), options)
    clients.push(client)
    return client
  }
  const request = (features: Record<string, number>, eventId = 'e1'): AnomalyRequest => ({
    eventId,
    timestamp: 1_700_000_000_000,
    userId: 'u1',
    features,
    modelVersion: '',
  })
  const detect = (client: AnomalyDetectionServiceClient, one: AnomalyRequest): Promise<AnomalyResponse> =>
    new Promise((resolve, reject) =>
      client.detectAnomaly(one, (error, response) => (error === null ? resolve(response) : reject(error))),
    )
  const failureOf = (promise: Promise<unknown>): Promise<ServiceError> =>
    promise.then(
      () => expect.fail('it should have failed'),
      (error) => error,
    )
  const columns = ['a', 'b']
  function scoreRows(
    client: ScoringServiceClient,
    fields: { rows?: Buffer; schemaId?: string; columns?: string[] },
    options: { deadline?: number } = {},
  ) {
    const rows = fields.rows ?? packNumbers(Float64Array.of(1, 2))
    return new Promise((resolve, reject) =>
      client.scoreRows(
        {
          schemaId: schemaIdOf(columns),
          rows,
          columns,
          explainFrom: 3,
          scoreOnly: false,
          keyIds: Buffer.alloc(0),
          ...fields,
        },
        new Metadata(),
        options,
        (error, response) => (error === null ? resolve(response) : reject(error)),
      ),
    )
  }

  it('judges events as maps of features by the rules and says by which', async () => {
    const detection = { rules: [{ name: 'mean', field: 'mean(features)', above: '50' }] }
    served = await serve({ detection })
    const client = clientOf(AnomalyDetectionServiceClient)
    const high = await detect(client, request({ cpu: 90, memory: 80 }))
    expect(high).to.deep.include({ eventId: 'e1', isAnomaly: true, confidence: 1, modelVersion: 'LEARNING' })
    expect(high.featureImportance).to.deep.equal({ 'mean(features)': 1 })
    expect(await detect(client, request({ cpu: 20, memory: 30 }))).to.deep.include({
      isAnomaly: false,
      anomalyScore: 0,
      featureImportance: {},
    })
  })

  it('answers a stream of maps in order, from what it learnt of them', async () => {
    const began = Date.now()
    served = await serve({ detection: { learnFromCalls: 'Enabled' }, features: ['amount', 'distance'] })
    const client = clientOf(AnomalyDetectionServiceClient)
    async function stream(requests: readonly AnomalyRequest[]): Promise<AnomalyResponse[]> {
      const call = client.detectAnomalyBatch()
      const responses: AnomalyResponse[] = []
      const ended = new Promise<void>((resolve, reject) => call.on('end', resolve).on('error', reject))
      call.on('data', (response: AnomalyResponse) => responses.push(response))
      for (const one of requests) call.write(one)
      call.end()
      await ended
      return responses
    }
    const ordinary = (i: number) => request({ amount: 10 + (i % 7), distance: 100 + (i % 11) }, `e${i}`)
    const requests = Array.from({ length: 3000 }, (_, i) => ordinary(i))
    const responses = await stream(requests)
    expect(responses.map(({ eventId }) => eventId)).to.deep.equal(requests.map(({ eventId }) => eventId))
    await eventually(async () => expect((await served.status()).modelRows).to.be.above(1500))
    expect(Date.parse((await served.status()).modelFitTime!)).to.be.within(began, Date.now())
    const [normal, odd] = await stream([ordinary(3), request({ amount: 500, distance: -40 }, 'odd')])
    expect(odd!.anomalyScore).to.be.above(normal!.anomalyScore)
    expect(odd!.anomalyScore).to.be.above(0.9)
    expect(odd!.modelVersion).to.match(/^forest-/)
    expect(odd!.confidence).to.equal(1)
    const reasons = Object.entries(odd!.featureImportance)
    expect(reasons).to.not.have.length(0)
    for (const [feature, share] of reasons) {
      expect(feature).to.be.oneOf(['amount', 'distance'])
      expect(share).to.be.within(0, 1)
    }
    expect(normal!.inferenceTimeMs).to.be.at.least(0)
  })

  it('judges maps by the features that the pipeline has, says what it left out, and learns nothing', async () => {
    served = await serve()
    const client = clientOf(AnomalyDetectionServiceClient)
    const invented = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`req-${i}`, 1]))
    const junk = await detect(client, request({ ...invented, amount: 7, value: 3 }))
    expect(junk.leftOut).to.deep.equal(Object.keys(invented).slice(0, 16))
    expect(junk.confidence).to.be.below(0.01)
    expect((await detect(client, request({ amount: 7, distance: 3 }))).leftOut).to.deep.equal([])
    expect((await served.status()).rowsSeen).to.equal(0)

    const scoring = clientOf(ScoringServiceClient)
    const names = Object.keys(invented)
    const rows = packNumbers(new Float64Array(names.length))
    const scored = await scoreRows(scoring, { schemaId: schemaIdOf(names), columns: names, rows })
    expect(scored).to.have.property('leftOut').with.length(16)
    const wider = [...columns, 'amount']
    await scoreRows(scoring, {
      schemaId: schemaIdOf(wider),
      columns: wider,
      rows: packNumbers(Float64Array.of(1, 2, 3)),
    })
    const long = ['x'.repeat(129)]
    const refused = await failureOf(
      scoreRows(scoring, { schemaId: schemaIdOf(long), columns: long, rows: Buffer.alloc(8) }),
    )
    expect(refused.code).to.equal(status.INVALID_ARGUMENT)
    expect((await served.status()) as object).to.include({ rowsSeen: 2, columns: 3 })
  })

  it('holds its limits of rows also for one call, and its limits of bytes for calls that are never finished', async () => {
    served = await serve()
    const scoring = clientOf(ScoringServiceClient)
    const one = { schemaId: schemaIdOf(['a']), columns: ['a'], rows: Buffer.alloc(8 * 690_000) }
    expect((await failureOf(scoreRows(scoring, one))).code).to.equal(status.RESOURCE_EXHAUSTED)
    const large = await failureOf(
      detect(clientOf(AnomalyDetectionServiceClient), request({ a: 1 }, 'x'.repeat(300_000))),
    )
    expect(large.code).to.equal(status.RESOURCE_EXHAUSTED)

    const session = connect(`http://${served.address}`)
    session.on('error', () => {})
    const length = 15 * 2 ** 20
    const calls = Array.from({ length: 8 }, () => {
      const call = session.request({
        ':method': 'POST',
        ':path': ScoringServiceService.scoreRows.path,
        'content-type': 'application/grpc',
        te: 'trailers',
      })
      call.on('error', () => {})
      const head = Buffer.alloc(5)
      head.writeUInt32BE(length, 1)
      call.write(head)
      call.write(Buffer.alloc(length - 1))
      return call
    })
    const closed = calls.map((call) => new Promise((resolve) => call.on('close', () => resolve(call.rstCode))))
    expect(await Promise.race(closed)).to.equal(constants.NGHTTP2_ENHANCE_YOUR_CALM)
    await scoreRows(scoring, {})
    session.destroy()
  })

  it('reads no more of a stream than its caller takes answers of', async () => {
    served = await serve({ detection: { learnFromCalls: 'Enabled' } })
    // The client of grpc-js reads ahead without bound; this one takes nothing until it is told to.
    const session = connect(`http://${served.address}`)
    const call = session.request({
      ':method': 'POST',
      ':path': '/anomalydetection.AnomalyDetectionService/DetectAnomalyBatch',
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    const body = AnomalyRequest.encode(request({ a: 1 }, 'x'.repeat(10_000))).finish()
    const message = Buffer.concat([Buffer.alloc(5), body])
    message.writeUInt32BE(body.length, 1)
    let sent = 0
    for (let flows = true; flows; sent++) {
      expect(sent).to.be.below(10_000)
      if (!call.write(message))
        flows = await Promise.race([once(call, 'drain').then(() => true), delay(1000).then(() => false)])
    }
    const { rowsSeen } = await served.status()
    expect(rowsSeen).to.be.below(sent)
    call.resume()
    call.end()
    await eventually(async () => expect((await served.status()).rowsSeen).to.equal(sent))
    session.destroy()
  })

  it('speaks the standard health protocol, and says NOT_SERVING before it stops', async () => {
    served = await serve({ drainMs: 500 })
    const health = clientOf(HealthClient)
    const check = (service: string) =>
      new Promise((resolve, reject) =>
        health.check({ service }, (error, response) => (error === null ? resolve(response.status) : reject(error))),
      )
    expect(await check('')).to.equal(StandardStatus.SERVING)
    expect(await check('anomaly.v1.ScoringService')).to.equal(StandardStatus.SERVING)
    expect(await check('anomalydetection.AnomalyDetectionService')).to.equal(StandardStatus.SERVING)
    expect((await failureOf(check('other'))).code).to.equal(status.NOT_FOUND)
    const seed = clientOf(AnomalyDetectionServiceClient)
    const own = await new Promise((resolve) => seed.healthCheck({ service: '' }, (_, response) => resolve(response)))
    expect(own).to.deep.equal({ status: ServingStatus.SERVING, message: 'ok' })

    const seen: StandardStatus[] = []
    const watch = health.watch({ service: '' })
    watch.on('data', (response) => seen.push(response.status)).on('error', () => {})
    await eventually(() => expect(seen).to.deep.equal([StandardStatus.SERVING]))
    const stopped = served.stop()
    await eventually(() => expect(seen).to.deep.equal([StandardStatus.SERVING, StandardStatus.NOT_SERVING]))
    const scored = await scoreRows(clientOf(ScoringServiceClient), {})
    expect(scored, 'calls are answered while callers find out').to.deep.include({ modelVersion: 'LEARNING' })
    await stopped
  })

  it('tells grpcurl and the like what it offers', async () => {
    served = await serve()
    const client = clientOf(Client as ClientClass<Client>)
    const call = client.makeBidiStreamRequest(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      (field: { tag: number; text: string }) =>
        Buffer.from(new BinaryWriter().uint32((field.tag << 3) | 2).string(field.text).finish()), // biome-ignore format: one line
      (answer: Buffer) => answer,
    )
    const answers: Buffer[] = []
    call.on('data', (answer: Buffer) => answers.push(answer))
    call.write({ tag: 7, text: '' }) // list_services
    call.write({ tag: 4, text: 'anomaly.v1.ScoringService' }) // file_containing_symbol
    await eventually(() => expect(answers).to.have.length(2))
    call.end()
    const [listed, file] = answers.map(String) as [string, string]
    for (const service of [
      'anomalydetection.AnomalyDetectionService',
      'anomaly.v1.ScoringService',
      'grpc.health.v1.Health',
    ])
      expect(listed).to.include(service)
    for (const name of ['scoring.proto', 'ScoreRowsRequest', 'explain_from']) expect(file).to.include(name)
    expect(new BinaryReader(answers[1]!).uint32()).to.be.above(0)
  })

  it('asks for the columns of a schema that it does not know, once', async () => {
    served = await serve()
    const client = clientOf(ScoringServiceClient)
    const unknown = await failureOf(scoreRows(client, { columns: [] }))
    expect(unknown.code).to.equal(status.FAILED_PRECONDITION)
    await scoreRows(client, {})
    await scoreRows(client, { columns: [] })
    expect((await served.status()).rowsSeen).to.equal(2)
  })

  it('refuses what does not fit, and learns nothing of it', async () => {
    served = await serve({ maxMessageBytes: 10_000 })
    const client = clientOf(ScoringServiceClient)
    const lies = await failureOf(scoreRows(client, { columns: ['a', 'b', 'c'] }))
    expect([lies.code, lies.details]).to.deep.equal([
      status.INVALID_ARGUMENT,
      `schema_id: ${schemaIdOf(columns)} is not that of the columns, ${schemaIdOf(['a', 'b', 'c'])}`,
    ])
    const torn = await failureOf(scoreRows(client, { rows: Buffer.alloc(12) }))
    expect([torn.code, torn.details]).to.deep.equal([status.INVALID_ARGUMENT, 'rows: 12 bytes are no list of float64'])
    const short = await failureOf(scoreRows(client, { rows: Buffer.alloc(24) }))
    expect(short.details).to.equal('rows: 3 numbers make no rows of 2 columns')
    const large = await failureOf(scoreRows(client, { rows: Buffer.alloc(16_000) }))
    expect(large.code).to.equal(status.RESOURCE_EXHAUSTED)
    expect((await served.status()).rowsSeen).to.equal(0)
  })

  it('has its callers connect anew after a while, and answers each call meanwhile', async () => {
    served = await serve({ maxConnectionAgeMs: 200 })
    const client = clientOf(ScoringServiceClient)
    const channel = client.getChannel()
    let connections = 0
    for (let calls = 0; connections < 3; calls++) {
      await scoreRows(client, {})
      if (channel.getConnectivityState(false) !== connectivityState.READY) connections++
      expect(calls).to.be.below(100_000)
    }
  })

  it('turns rows away where too many wait, and leaves undone what nobody waits for', async () => {
    served = await serve({ maxRows: 300 })
    const client = clientOf(ScoringServiceClient)
    const rows = packNumbers(new Float64Array(200))
    const outcomes = await Promise.allSettled(Array.from({ length: 50 }, () => scoreRows(client, { rows })))
    const codes = outcomes.map((one) => (one.status === 'fulfilled' ? 'OK' : status[one.reason.code]))
    expect(new Set(codes)).to.deep.equal(new Set(['OK', 'RESOURCE_EXHAUSTED']))
    const answered = codes.filter((code) => code === 'OK').length
    expect((await served.status()).rowsSeen).to.equal(100 * answered)

    const before = (await served.status()).rowsSeen
    const late = await failureOf(scoreRows(client, { rows }, { deadline: Date.now() - 1 }))
    expect(late.code).to.equal(status.DEADLINE_EXCEEDED)
    const ahead = Array.from({ length: 150 }, () => scoreRows(client, {}))
    const { promise, reject } = Promise.withResolvers<void>()
    client
      .scoreRows(
        { schemaId: schemaIdOf(columns), rows, columns, explainFrom: 3, scoreOnly: false, keyIds: Buffer.alloc(0) },
        (error) => reject(error),
      )
      .cancel()
    expect((await failureOf(promise)).code).to.equal(status.CANCELLED)
    await Promise.all(ahead)
    expect((await served.status()).rowsSeen).to.equal(before + ahead.length)
  })
})

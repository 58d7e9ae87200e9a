import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { createLogger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { InputRecord } from '../files/input-record.ts'
import { LineWriter } from '../files/line-writer.ts'
import { temporaryFolder } from '../files/temporary-folder.ts'
import { openSqliteHistory } from '../history/sqlite-history.ts'
import type { LocalPipeline } from '../judging/local-pipeline.ts'
import { futureTolerance } from '../wire/decode.ts'
import type { Rejection } from '../wire/rejection.ts'
import { type Feed, type RunOptions, type RunSummary, run } from './run.ts'

const pipeline = parsePipeline({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'threshold' },
  spec: {
    source: { brokers: ['localhost:9092'] },
    detection: { rules: [{ name: 'limit', field: 'value', above: '100' }] },
  },
})
const seedEvent = {
  eventId: 'test-123',
  timestamp: 1640000000,
  userId: 'user-456',
  value: 125.5,
  features: { feature1: 10.5, feature2: 20.3 },
}
const log = await createLogger({ level: 'silent' })

function rowOf(body: unknown, row = 1): Omit<InputRecord, 'offset'> {
  return { key: null, value: null, timestamp: Number.NaN, source: 'test', row, line: row, body }
}

const rows = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ ...seedEvent, eventId: `e${i}`, value: i % 120 }))

/** Feeds bodies, as patient as the stream asks for. */
function feedOf(bodies: readonly unknown[]): Feed {
  return async (local, signal) => {
    for (const [i, body] of bodies.entries()) {
      if (signal.aborted) return
      local.stream.append(rowOf(body, i + 1))
      await local.stream.room()
    }
  }
}

describe('run()', () => {
  const folder = temporaryFolder()
  after(() => folder.remove())

  interface Started {
    readonly api: string
    readonly probes: string
    readonly local: LocalPipeline
    readonly stop: AbortController
    readonly ended: Promise<RunSummary>
  }
  const started: Started[] = []
  afterEach(async () => {
    for (const { stop, ended } of started.splice(0)) {
      stop.abort()
      await ended.catch(() => {})
    }
  })

  /** A run that serves on free ports; settles when it does. */
  function serve(options: Partial<RunOptions> = {}): Promise<Started> {
    const stop = new AbortController()
    return new Promise((resolve, reject) => {
      const ended = run({
        pipeline,
        log,
        port: 0,
        probesPort: 0,
        seed: 1,
        exitAtEnd: false,
        stop,
        ...options,
        onStarted: ({ api, probes }, local) => {
          const one = { api: `http://localhost:${api}`, probes: `http://localhost:${probes}`, local, stop, ended }
          started.push(one)
          resolve(one)
        },
      })
      ended.catch(reject)
    })
  }

  const linesOf = (path: string) => readFileSync(path, 'utf8').split('\n').slice(0, -1)

  it('ends with its input: a verdict a line, the rejected apart, all of them counted', async () => {
    const output = join(folder.path, 'verdicts.jsonl')
    const rejects = join(folder.path, 'rejects.jsonl')
    const bodies: unknown[] = rows(1300)
    bodies.splice(700, 0, { value: 1 }, 7)
    const verdicts: Verdict[] = []
    const rejected: Rejection[] = []
    const summary = await run({
      pipeline,
      log,
      feed: feedOf(bodies),
      output: new LineWriter(output),
      rejects: new LineWriter(rejects),
      port: undefined,
      probesPort: undefined,
      seed: 1,
      exitAtEnd: true,
      onVerdict: (_, verdict) => verdicts.push(verdict),
      onRejected: (_, rejection) => rejected.push(rejection),
    })
    const written = linesOf(output).map((line) => JSON.parse(line) as Verdict)
    expect(written.map(({ eventId }) => eventId)).to.deep.equal(rows(1300).map(({ eventId }) => eventId))
    expect(verdicts.map(({ eventId }) => eventId)).to.deep.equal(written.map(({ eventId }) => eventId))
    expect(linesOf(rejects).map((line) => JSON.parse(line).row)).to.deep.equal([701, 702])
    expect(rejected.map(({ reason }) => reason)).to.deep.equal(['MissingKey', 'NotAnObject'])
    const alerts = written.filter(({ isAnomaly }) => isAnomaly).length
    expect(alerts).to.be.at.least(Math.floor(1300 / 120) * 19)
    expect(summary).to.deep.equal({ events: 1300, alerts, rejected: 2 })
  })

  it('goes on after a record that it fails on for a reason not foreseen, and says so', async () => {
    const { api, probes, local } = await serve()
    const failing = {
      get userId(): string {
        throw new TypeError('cannot read this')
      },
    }
    for (const [i, body] of [seedEvent, failing, { ...seedEvent, eventId: 'second' }].entries())
      local.stream.append(rowOf(body, i + 1))
    await local.stream.drained()
    const status = await (await fetch(`${probes}/status`)).json()
    expect(status).to.deep.include({ events: 2, rejected: 1, conditions: { unprocessable: 1 } })
    const metrics = await (await fetch(`${api}/actuator/prometheus`)).text()
    expect(metrics).to.contain('anomaly_events_rejected_total{reason="Unprocessable"} 1')
  })

  it('learns its history first: nothing of it is published or counted, and what follows is judged by it', async () => {
    const output = join(folder.path, 'after-history.jsonl')
    const learnt: number[] = []
    let ended = 0
    const verdicts: Verdict[] = []
    const steady = Array.from({ length: 1300 }, (_, i) => ({ ...seedEvent, eventId: `past-${i}`, value: 10 + (i % 7) }))
    const options = {
      pipeline,
      log,
      feed: feedOf([{ ...seedEvent, eventId: 'usual', value: 12 }]),
      port: undefined,
      probesPort: undefined,
      seed: 1,
      exitAtEnd: true,
    }
    const summary = await run({
      ...options,
      output: new LineWriter(output),
      history: {
        feed: feedOf([...steady, { value: 1 }]),
        onLearnt: (events) => learnt.push(events),
        onEnd: () => ended++,
      },
      onVerdict: (_, verdict) => verdicts.push(verdict),
    })
    expect(summary).to.deep.equal({ events: 1, alerts: 0, rejected: 1 })
    expect([learnt.at(-1), ended]).to.deep.equal([1300, 1])
    expect(verdicts.map(({ eventId }) => eventId)).to.deep.equal(['usual'])
    expect(linesOf(output)).to.have.length(1)
    let first: Verdict | undefined
    await run({
      ...options,
      onVerdict: (_, verdict) => {
        first = verdict
      },
    })
    expect(verdicts[0]!.confidence).to.be.above(first!.confidence)
  })

  it('lets callers in only when its history is learnt', async () => {
    const order: string[] = []
    const feed: Feed = async (local, signal) => {
      await feedOf(rows(700))(local, signal)
      order.push('fed')
    }
    const { api } = await serve({ history: { feed, onEnd: () => order.push('learnt') } })
    order.push((await fetch(`${api}/api/v1/health`)).ok ? 'served' : 'refused')
    expect(order).to.deep.equal(['fed', 'learnt', 'served'])
  })

  it('fails with what its history fails with', async () => {
    const feed: Feed = () => Promise.reject(new AppError('NotFound', 'no such file'))
    const error = await serve({ history: { feed } }).catch((error: AppError) => error)
    expect(error).to.include({ message: 'no such file' })
  })

  it('shows each batch in the output when it is judged, not when the run ends', async () => {
    const path = join(folder.path, 'live.jsonl')
    const { api } = await serve({ output: new LineWriter(path) })
    const response = await fetch(`${api}/api/v1/detect`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(seedEvent),
    })
    const verdict = await response.json()
    expect(linesOf(path).map((line) => JSON.parse(line))).to.deep.equal([verdict])
  })

  it('keeps what it judged, events that stood out, and episodes, for whoever asks later and for the next run', async () => {
    const path = join(folder.path, 'history.db')
    const bodies = rows(600)
    const { stop, ended } = await serve({ kept: openSqliteHistory(path), feed: feedOf(bodies), exitAtEnd: true })
    await ended
    stop.abort()
    const { api } = await serve({ kept: openSqliteHistory(path) })
    const json = async (route: string) =>
      (await (await fetch(`${api}/api/v1/${route}`)).json()) as Record<string, readonly unknown[]>
    const alerts = bodies.filter(({ value }) => value > 100).length
    expect((await json('results?limit=1000')).results).to.have.length(600)
    expect((await json('results?limit=1000&anomalies=true')).results).to.have.length(alerts)
    expect(await json('results/e7')).to.include({ eventId: 'e7', isAnomaly: false })
    expect(await json('results/e119/event')).to.deep.equal(bodies[119])
    expect((await json('episodes')).episodes).to.have.length(1)
    expect(await json('episodes/e101')).to.include({ alerts, state: 'Open' })
  })

  it('serves API and probes, and handles what waits before it ends', async () => {
    const { api, probes, local, stop, ended } = await serve()
    const get = async (url: string) => {
      const response = await fetch(url)
      return [response.status, await response.text()] as const
    }
    expect((await get(`${api}/api/v1/health`))[0]).to.equal(200)
    expect(await get(`${api}/actuator/health`)).to.deep.equal([200, '{"status":"UP"}'])
    expect((await get(`${api}/openapi.json`))[0]).to.equal(200)
    expect((await get(`${probes}/livez`))[0]).to.equal(200)
    expect((await get(`${probes}/readyz`))[0]).to.equal(200)

    const post = (body: unknown) =>
      fetch(`${api}/api/v1/detect`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      })
    for (const body of [seedEvent, { ...seedEvent, eventId: 'low', value: 1 }, { value: 1 }]) await post(body)
    const [, metrics] = await get(`${probes}/metrics`)
    expect((await get(`${api}/actuator/prometheus`))[1]).to.include('anomaly_detection_total{verdict="anomaly"} 1')
    for (const sample of [
      'anomaly_detection_total{verdict="anomaly"} 1',
      'anomaly_detection_total{verdict="normal"} 1',
      'anomaly_events_rejected_total{reason="MissingKey"} 1',
      'anomaly_detection_time_seconds_count 2',
      'anomaly_alert_rate 0.5',
    ])
      expect(metrics).to.include(`${sample}\n`)
    expect(JSON.parse((await get(`${probes}/status`))[1])).to.deep.equal({
      events: 2,
      alerts: 1,
      episodes: 1,
      openEpisodes: 1,
      rejected: 1,
      late: 1,
      conditions: { unprocessable: 0 },
      keys: 1,
      modelVersion: 'LEARNING',
      models: [],
      modelProblems: {},
      news: [],
    })

    for (const [i, body] of rows(1500).entries()) local.stream.append(rowOf(body, i))
    stop.abort()
    expect((await ended).events).to.equal(1502)
    expect(await fetch(`${api}/api/v1/health`).catch(() => 'closed')).to.equal('closed')
  })

  describe('bad input by REST', () => {
    const json = (change: object) => JSON.stringify({ ...seedEvent, ...change })
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`f${i}`, i]))
    const refusals: readonly (readonly [what: string, body: () => string, status: number, problem: object])[] = [
      ['malformed JSON', () => '{"eventId":', 400, { reason: 'MalformedJson' }],
      ['NaN for a number', () => '{"userId":"u","value":NaN}', 400, { reason: 'MalformedJson' }],
      ['what is not an object', () => '[1]', 422, { reason: 'NotAnObject' }],
      ['no key', () => json({ userId: undefined }), 422, { reason: 'MissingKey', field: 'userId' }],
      [
        'an id of 257 characters',
        () => json({ eventId: 'x'.repeat(257) }),
        422,
        { reason: 'InvalidId', field: 'eventId' },
      ],
      ['Infinity for a number', () => '{"userId":"u","value":1e999}', 422, { reason: 'InvalidValue', field: 'value' }],
      ['words for a number', () => json({ value: '125.5' }), 422, { reason: 'InvalidValue', field: 'value' }],
      [
        'words for a feature',
        () => json({ features: { a: '1' } }),
        422,
        { reason: 'InvalidFeature', field: 'features.a' },
      ],
      ['5,000 features', () => json({ features: many }), 422, { reason: 'TooManyFeatures', field: 'features' }],
      ['a body of more than 1 MiB', () => json({ note: 'x'.repeat(2 ** 20) }), 413, { reason: 'TooLarge' }],
      [
        'a time in the far future',
        () => json({ timestamp: Date.now() + 2 * futureTolerance }),
        422,
        { reason: 'InvalidTime', field: 'timestamp' },
      ],
    ]
    let api: string
    beforeEach(async () => {
      api = (await serve()).api
    })
    const post = (body: string) =>
      fetch(`${api}/api/v1/detect`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body })

    for (const [what, body, status, problem] of refusals)
      it(`${what}: ${status}, and the next event is judged`, async () => {
        const response = await post(body())
        expect(response.status).to.equal(status)
        expect(response.headers.get('content-type')).to.match(/^application\/problem\+json/)
        expect(await response.json()).to.deep.include({ status, ...problem })
        expect(await (await post(json({}))).json()).to.have.property('isAnomaly', true)
      })

    it('the same event id twice: the first verdict, and a header that says so', async () => {
      const first = await post(json({}))
      const second = await post(json({}))
      expect([first, second].map(({ headers }) => headers.get('Idempotent-Replayed'))).to.deep.equal([null, 'true'])
      expect(await second.text()).to.equal(await first.text())
      const other = await post(json({ value: 1 }))
      expect(other.status).to.equal(409)
      expect(await other.json()).to.include({ status: 409, reason: 'EventIdReused' })
    })

    it('an event without features or without value: judged, with less confidence', async () => {
      const confidenceOf = async (change: object) =>
        (
          (await (
            await post(JSON.stringify({ ...seedEvent, value: 50, eventId: undefined, ...change }))
          ).json()) as Verdict
        ).confidence
      for (let i = 0; i < 30; i++) await confidenceOf({})
      const whole = await confidenceOf({})
      expect(await confidenceOf({ features: undefined })).to.be.within(0.25 * whole, 0.45 * whole)
      expect(await confidenceOf({ value: undefined })).to.be.within(0.55 * whole, 0.8 * whole)
    })
  })

  it('fails at once when its output fails, though more input waits, and turns callers away', async function () {
    if (!existsSync('/dev/full')) return this.skip()
    const { api, ended } = await serve({ output: new LineWriter('/dev/full'), feed: feedOf([]) })
    const response = await fetch(`${api}/api/v1/detect`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(seedEvent),
    })
    expect(response.status).to.equal(503)
    const error = await ended.catch((error: AppError) => error)
    expect(error).to.be.instanceOf(AppError).and.include({ code: 'OutputFailed' })

    const fed = await run({
      pipeline,
      log,
      feed: feedOf(rows(20_000)),
      output: new LineWriter('/dev/full'),
      port: undefined,
      probesPort: undefined,
      seed: 1,
      exitAtEnd: true,
    }).catch((error: AppError) => error)
    expect(fed).to.have.property('code', 'OutputFailed')
  })

  it('fails with what the feed fails with, after what it fed is judged', async () => {
    const path = join(folder.path, 'cut.jsonl')
    const error = await run({
      pipeline,
      log,
      feed: async (local, signal) => {
        await feedOf(rows(10))(local, signal)
        throw new AppError('InvalidArgument', 'the file is damaged')
      },
      output: new LineWriter(path),
      port: undefined,
      probesPort: undefined,
      seed: 1,
      exitAtEnd: true,
    }).catch((error: AppError) => error)
    expect(error).to.have.property('message', 'the file is damaged')
    expect(linesOf(path)).to.have.length(10)
  })

  it('fails where its port is taken, and leaves nothing open', async () => {
    const other = createServer().listen(0)
    await new Promise((resolve) => other.once('listening', resolve))
    const { port } = other.address() as AddressInfo
    const error = await serve({ port }).then(
      () => undefined,
      (error: AppError) => error,
    )
    other.close()
    expect(error).to.include({
      code: 'Unavailable',
      message: `Cannot listen on port ${port} (api): it is in use; choose another with --port`,
    })
  })
})

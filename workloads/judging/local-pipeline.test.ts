import { expect } from 'chai'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { type ResolvedOnnx, resolveDetectors } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { InputRecord } from '../files/input-record.ts'
import type { OnnxRunner } from '../scoring/onnx-runner.ts'
import { simulatePayments } from '../simulation/simulate-payments.ts'
import { futureTolerance } from '../wire/decode.ts'
import type { Rejection } from '../wire/rejection.ts'
import { createLocalPipeline, type LocalPipelineOptions } from './local-pipeline.ts'
import { isVerdict, type Outcome, type ProcessedBatch } from './processor.ts'

function pipelineWith(event: object = {}, detection: object = {}): Pipeline {
  return parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'test' },
    spec: { source: { brokers: ['localhost:9092'] }, event, detection },
  })
}

type Row = Partial<InputRecord> & { readonly body?: unknown }

/** What became of rows, and their verdicts as published. */
async function judge(pipeline: Pipeline, rows: readonly Row[], options: Partial<LocalPipelineOptions> = {}) {
  const processed: ProcessedBatch[] = []
  const local = createLocalPipeline({
    pipeline,
    seed: 1,
    fitting: 'Inline',
    observer: (batch) => processed.push(batch),
    ...options,
  })
  const running = local.run()
  for (const [i, row] of rows.entries()) {
    local.stream.append({
      key: null,
      value: null,
      timestamp: Number.NaN,
      source: 'events.jsonl',
      row: i + 1,
      line: i + 1,
      ...row,
    })
    await local.stream.room()
  }
  local.stream.end()
  await running
  return {
    outcomes: processed.flatMap(({ outcomes }) => outcomes),
    json: processed.flatMap(({ published }) => [...published]),
    local,
  }
}

const payments = (count: number) => {
  const stream = simulatePayments({ seed: 3, users: 50, startTime: Date.UTC(2024, 0, 1) })
  return Array.from({ length: count }, () => ({ body: stream.next().value!.event }))
}

describe('createLocalPipeline()', () => {
  it('joins a model of somebody else, calibrated, and says of which events it gave no answer', async () => {
    const onnx = { from: { file: 'mine.onnx' }, inputs: ['value', 'itemCount'] }
    const pipeline = pipelineWith(
      {},
      {
        detectors: [
          { name: 'profile', profile: {} },
          { name: 'mine', onnx },
        ],
      },
    )
    const [, detector] = resolveDetectors(pipeline.spec.detection)
    const runner: OnnxRunner = {
      detector: detector as ResolvedOnnx,
      checksum: 'c',
      // A number for all but the largest payments.
      score: (rows, count) =>
        Float64Array.from({ length: count }, (_, row) => (rows[2 * row]! > 500 ? Number.NaN : rows[2 * row]!)),
      problem: () => undefined,
      close: async () => {},
    }
    const { outcomes } = await judge(pipeline, payments(3000), { onnx: [runner] })
    const verdicts = outcomes.filter(isVerdict)
    const versions = new Set(verdicts.map(({ modelVersion }) => modelVersion.replace(/-[0-9a-f]{8}$/, '')))
    expect([...versions].slice(0, 3)).to.deep.equal(['LEARNING', 'onnx-16', 'onnx-32'])
    const answered = verdicts.filter(({ scores }) => scores.mine !== undefined)
    const silent = verdicts.filter(({ degraded }) => degraded === 'ModelUnavailable')
    expect(silent).to.have.length.above(0)
    expect(silent.every(({ scores, confidence }) => scores.mine === undefined && confidence <= 0.5)).to.equal(true)
    expect(answered.length + silent.length + 16).to.equal(verdicts.length)
    const late = answered.slice(-2000)
    const rare = late.filter(({ scores }) => scores.mine! >= 0.95).length / late.length
    expect(rare).to.be.closeTo(0.05, 0.03)
  })

  it('holds the model that is pinned from the row on at which it is fitted, and so do replays', async () => {
    const refits = { detectors: [{ name: 'forest', isolationForest: { refitEvents: 1000 } }] }
    const rows = payments(4000)
    const versionsOf = async (model?: object, batchSize = 500) => {
      const { outcomes, local } = await judge(pipelineWith({}, { ...refits, ...(model && { model }) }), rows, {
        batchSize,
      })
      const versions = outcomes.map((outcome) => (isVerdict(outcome) ? outcome.modelVersion : ''))
      return { versions, distinct: [...new Set(versions)], local }
    }
    const free = await versionsOf()
    const pin = free.distinct.find((version) => version.startsWith('forest-1000-'))!
    expect(free.distinct.at(-1)).to.match(/^forest-3000-/)
    const held = await versionsOf({ pin })
    expect(held.distinct.at(-1)).to.equal(pin)
    expect(held.versions.slice(0, 1001)).to.deep.equal(free.versions.slice(0, 1001))
    expect((await versionsOf({ pin }, 77)).versions).to.deep.equal(held.versions)
    const challenged = await versionsOf({ challenger: { version: pin, percentOfKeys: 30 } })
    expect((await versionsOf({ challenger: { version: pin, percentOfKeys: 30 } }, 77)).versions).to.deep.equal(
      challenged.versions,
    )
    const after = challenged.versions.slice(3001)
    expect(new Set(after)).to.deep.equal(new Set([free.distinct.at(-1)!, pin]))
    expect(challenged.local.scorer.figures()!.challenger.rows).to.be.above(500)
    expect((await versionsOf({ pin: 'forest-7-gone' })).local.scorer.problems).to.deep.equal({
      pin: 'model forest-7-gone is not kept',
    })
  })

  it('gives every row its verdict in order, the same bytes every time and wherever batches are cut', async () => {
    const pipeline = pipelineWith()
    const rows: Row[] = payments(3000)
    rows.splice(100, 0, { value: '{' })
    rows.splice(2000, 0, { body: { ...payments(1)[0]!.body, features: { 'late-feature': 1 } } })
    const { json } = await judge(pipeline, rows)
    const ids = json.map((text) => (text === undefined ? undefined : (JSON.parse(text) as Verdict).eventId))
    expect(ids).to.deep.equal(rows.map(({ body }) => (body as { eventId: string } | undefined)?.eventId))
    for (const batchSize of [500, 1, 7, 5000]) {
      const again = await judge(pipeline, rows, { batchSize })
      expect(again.json.join('\n') === json.join('\n'), `batches of ${batchSize}`).to.equal(true)
    }
    const otherSeed = await judge(pipeline, rows, { seed: 2 })
    expect(otherSeed.json.join('\n') === json.join('\n')).to.equal(false)
  })

  it('sets aside the records that it fails on for a reason not foreseen, and judges all others as if they were not there', async () => {
    const failing: Row = {
      body: {
        ...payments(1)[0]!.body,
        get value(): number {
          throw new TypeError('cannot read this\nat all')
        },
      },
    }
    const pipeline = pipelineWith({}, { detectors: [{ name: 'profile', profile: {} }] })
    const rows: Row[] = payments(2000)
    // What was judged before a new feature is undone with the rest of the batch.
    rows.splice(702, 0, { body: { ...payments(1)[0]!.body, features: { 'late-feature': 1 } } })
    const without = await judge(pipeline, rows)
    for (const place of [750, 760, 761, 1200, 2004]) rows.splice(place, 0, failing)
    const { outcomes, json } = await judge(pipeline, rows)
    expect(outcomes).to.have.length(rows.length)
    for (const [i, row] of rows.entries())
      if (row === failing)
        expect(outcomes[i]).to.deep.equal({ reason: 'Unprocessable', message: 'TypeError: cannot read this' })
    const judged = json.filter((_, i) => rows[i] !== failing)
    expect(judged.join('\n') === without.json.join('\n')).to.equal(true)
  })

  describe('feature names', () => {
    const day = 24 * 3_600_000
    const rowOf = (at: number, features: object): Row => ({ body: { userId: 'u', timestamp: at, value: 1, features } })
    const junk = (count: number, prefix: string) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`${prefix}${i}`, 1]))
    const start = Date.UTC(2024, 0, 1)
    const degraded = (outcomes: readonly Outcome[]) => outcomes.map((one) => isVerdict(one) && one.degraded)

    it('become known in an hour as few as with a shared store, by the times of past events', async () => {
      const rows = [{ amount: 1 }, junk(240, 'a'), junk(240, 'b'), junk(240, 'c'), { amount: 1 }].map((features, i) =>
        rowOf(start + 60_000 * i, features),
      )
      // After names were refused, a thousand events with unknown ones are judged without them.
      const late = Array.from({ length: 1002 }, () => rowOf(start + day, { late: 1 }))
      const { outcomes, local } = await judge(pipelineWith(), [...rows, ...late])
      const isFull = degraded(outcomes).map((one) => one === 'SchemaFull')
      expect([...isFull.slice(0, 5), isFull.at(-1)]).to.deep.equal([false, false, false, true, false, false])
      expect(local.schema.size).to.equal(502)
    })

    it('are forgotten where no event carries them any more for as long as profiles are kept', async () => {
      let now = start
      const clocks = { wall: () => now, monotonic: () => 0 }
      const rows = [rowOf(start, { amount: 1, gone: 1 })]
      const local = createLocalPipeline({ pipeline: pipelineWith(), seed: 1, fitting: 'Inline', clocks })
      const running = local.run()
      for (; now < start + 32 * day; now += 300_000) {
        const [row] = rows.length > 0 ? rows.splice(0) : [rowOf(now, { amount: 1 })]
        local.stream.append({ key: null, value: null, timestamp: now, source: 'x', row: 1, line: 1, ...row })
        await local.stream.drained()
        if (now < start + 29 * day) expect(local.schema.names).to.deep.equal(['amount', 'gone'])
      }
      expect(local.schema.names).to.deep.equal(['amount', ''])
      local.stream.end()
      await running
    })
  })

  it('says nothing of processing times without a clock, and how long it took with one', async () => {
    const rows = payments(1)
    let time = 0
    const clocks = { wall: () => Date.UTC(2024, 6, 1), monotonic: () => (time += 3) }
    expect(JSON.parse((await judge(pipelineWith(), rows)).json[0]!)).to.not.have.property('inferenceTimeMs')
    expect(JSON.parse((await judge(pipelineWith(), rows, { clocks })).json[0]!)).to.have.property('inferenceTimeMs', 3)
  })

  describe('ids', () => {
    const ids = async (event: object, rows: readonly Row[]) =>
      (await judge(pipelineWith(event), rows)).outcomes.map((outcome) => isVerdict(outcome) && outcome.eventId)

    it('are the rows where events have none', async () => {
      const rows = [{ body: { userId: 'u' } }, { body: { userId: 'u', eventId: 'own' } }, { body: { userId: 'u' } }]
      expect(await ids({}, rows)).to.deep.equal(['row-1', 'own', 'row-3'])
    })

    it('name the file where each file is a key, and the key is the file', async () => {
      const rows = [
        { body: { v: 1 }, source: 'a/x.csv', row: 1 },
        { body: { v: 1 }, source: 'y.csv', row: 1 },
        { body: { v: 1 }, source: 'a/x.csv', row: 2 },
      ]
      const event = { key: '$source', value: 'v' }
      expect(await ids(event, rows)).to.deep.equal(['a/x.csv:row-1', 'y.csv:row-1', 'a/x.csv:row-2'])
      const { outcomes, local } = await judge(pipelineWith(event), rows)
      expect(outcomes.map((outcome) => (outcome as Verdict).userId)).to.deep.equal(['a/x.csv', 'y.csv', 'a/x.csv'])
      expect(local.stream.waiting).to.equal(0)
    })

    it('name the door for what comes by REST', async () => {
      expect(await ids({}, [{ body: { userId: 'u' }, source: 'api', row: 7 }])).to.deep.equal(['api:row-7'])
    })
  })

  describe('times', () => {
    const timeOf = async (body: object, options: Partial<LocalPipelineOptions> = {}) => {
      const [outcome] = (await judge(pipelineWith(), [{ body: { userId: 'u', ...body } }], options)).outcomes
      return isVerdict(outcome!) ? outcome.timestamp : (outcome as Rejection).reason
    }
    const now = Date.UTC(2024, 5, 1)
    const clocks = { wall: () => now, monotonic: () => 0 }

    it('of events without one: none over past data, that of their arrival while serving', async () => {
      expect(await timeOf({})).to.equal(null)
      expect(await timeOf({}, { clocks })).to.equal(now)
    })

    it('in the far future are refused: beyond a day while serving, beyond 2100 over past data', async () => {
      expect(await timeOf({ timestamp: now + futureTolerance }, { clocks })).to.equal(now + futureTolerance)
      expect(await timeOf({ timestamp: now + futureTolerance + 1 }, { clocks })).to.equal('InvalidTime')
      expect(await timeOf({ timestamp: '2099-12-31' })).to.equal(Date.UTC(2099, 11, 31))
      expect(await timeOf({ timestamp: '2100-01-02' })).to.equal('InvalidTime')
    })
  })

  describe('labels', () => {
    const flat = { id: '', time: '', key: '', value: '', featureFields: ['x*', 'y'] }
    const rows = (label: (i: number) => unknown, text: boolean) =>
      Array.from({ length: 600 }, (_, i) => {
        const body: Record<string, unknown> = { x0: Math.sin(i), x1: i % 7, y: Math.cos(i), xLabel: label(i) }
        if (body.xLabel === undefined) delete body.xLabel
        if (!text) return { body }
        return {
          body: Object.fromEntries(Object.entries(body).map(([k, v]) => [k, String(v)])),
          text: 'Point' as const,
        }
      })
    const labels: readonly (readonly [what: string, label: (i: number) => unknown])[] = [
      ['numbers', (i) => (i % 50 === 49 ? 1 : 0)],
      ['words', (i) => (i % 50 === 49 ? 'anomaly' : 'normal')],
    ]

    for (const [what, label] of labels)
      for (const text of [false, true])
        it(`in ${what} are never a feature, under a glob neither (${text ? 'CSV' : 'JSON'})`, async () => {
          const pipeline = pipelineWith(flat)
          const without = await judge(
            pipeline,
            rows(() => undefined, text),
          )
          const ignored = await judge(pipeline, rows(label, text), { label: 'xLabel' })
          expect(ignored.json).to.deep.equal(without.json)
        })

    it('would be one if nobody said what they are', async () => {
      const pipeline = pipelineWith(flat)
      const [, label] = labels[0]!
      const without = await judge(
        pipeline,
        rows(() => undefined, false),
      )
      const leaked = await judge(pipeline, rows(label, false))
      expect(leaked.json).to.not.deep.equal(without.json)
    })

    it('among an object of features are none either', async () => {
      const bodies = (label: object) =>
        Array.from({ length: 300 }, (_, i) => ({ body: { userId: 'u', features: { a: Math.sin(i), ...label } } }))
      const without = await judge(pipelineWith(), bodies({}))
      const ignored = await judge(pipelineWith(), bodies({ fraud: 1 }), { label: 'fraud' })
      expect(ignored.json).to.deep.equal(without.json)
    })
  })

  it('reads numbers written as text in CSV only', async () => {
    const body = { userId: 'u', value: '12.5' }
    const { outcomes } = await judge(pipelineWith(), [{ body, text: 'Point' }, { body }])
    expect(outcomes.map(isVerdict)).to.deep.equal([true, false])
  })

  it('handles rows that were known to be unreadable without reading them', async () => {
    const rejection: Rejection = { reason: 'RaggedRow', message: 'the row has 2 fields, the header 3' }
    const { outcomes } = await judge(pipelineWith(), [{ value: '{"userId":"u"}', rejection }])
    expect(outcomes).to.deep.equal([rejection])
  })

  it('judges events by what is derived from their keys, by rules too, wherever batches are cut', async () => {
    const pipeline = pipelineWith(
      { features: '' },
      {
        derivedFeatures: [{ name: 'in-10m', count: { window: '10m' } }],
        rules: [{ name: 'burst', field: 'in-10m', above: '5' }],
      },
    )
    const minute = 60_000
    const at = [0, 30, 60, 90, 120, 121, 122, 123, 124, 125, 126, 160, 200].map((minutes) => minutes * minute)
    const rows = at.map((ms) => ({ body: { userId: 'u', value: 1, timestamp: Date.UTC(2024, 0, 1) + ms } }))
    const { outcomes, json } = await judge(pipeline, rows)
    const broken = outcomes.map((outcome) => isVerdict(outcome) && outcome.isAnomaly)
    expect(broken.flatMap((isBroken, i) => (isBroken ? [i] : []))).to.deep.equal([9, 10])
    expect((outcomes[9] as Verdict).reasons[0]).to.include({ rule: 'burst', feature: 'in-10m', observed: 6 })
    for (const batchSize of [1, 5]) expect((await judge(pipeline, rows, { batchSize })).json).to.deep.equal(json)
  })
})

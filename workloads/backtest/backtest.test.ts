import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { Verdict } from '../detection/verdict.ts'
import { inputFiles } from '../files/input-files.ts'
import { temporaryFolder } from '../files/temporary-folder.ts'
import { type BacktestEvent, type BacktestOptions, backtest } from './backtest.ts'

function pipelineWith(spec: object = {}): Pipeline {
  return parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'test' },
    spec: {
      source: { brokers: ['localhost:9092'] },
      detection: { detectors: [{ name: 'profile', profile: {} }] },
      ...spec,
    },
  })
}

const line = (i: number) => JSON.stringify({ eventId: `e${i}`, userId: `u${i % 10}`, value: 50 + Math.sin(i) })
const lines = (count: number) => `${Array.from({ length: count }, (_, i) => line(i)).join('\n')}\n`

describe('backtest()', () => {
  const folder = temporaryFolder()
  after(() => folder.remove())

  async function run(paths: readonly string[], options: Partial<BacktestOptions> = {}) {
    const events: BacktestEvent[] = []
    const rejected: (readonly [row: number, line: number, reason: string])[] = []
    const summary = await backtest({
      pipeline: pipelineWith(),
      files: inputFiles(paths),
      onEvent: (event) => events.push(event),
      onRejected: ({ row, line }, { reason }) => rejected.push([row, line, reason]),
      ...options,
    })
    return { events, rejected, summary }
  }

  it('tells of exactly one verdict for every readable event, in input order, and of each row that is not', async () => {
    const path = folder.write(
      'a.jsonl',
      [line(0), '{', '', line(1), '[]', line(1), '{"value":1}', line(2), '{"userId":"u","value":"1"}'].join('\n'),
    )
    const { events, rejected, summary } = await run([path])
    expect(events.map(({ verdict }) => verdict.eventId)).to.deep.equal(['e0', 'e1', 'e1', 'e2'])
    for (const { event, verdict, json, record } of events) {
      expect(event.id).to.equal(verdict.eventId)
      expect((JSON.parse(json) as Verdict).eventId).to.equal(verdict.eventId)
      expect(record.value).to.include(verdict.eventId)
    }
    expect(rejected).to.deep.equal([
      [2, 2, 'MalformedJson'],
      [4, 5, 'NotAnObject'],
      [6, 7, 'MissingKey'],
      [8, 9, 'InvalidValue'],
    ])
    expect(summary).to.deep.equal({ events: 4, alerts: 0, rejected: 4, keys: 3, modelVersion: 'LEARNING' })
  })

  it('tells of all events, whatever is published in a cluster', async () => {
    const path = folder.write('b.jsonl', lines(50))
    const { events } = await run([path], { pipeline: pipelineWith({ results: { publish: 'Anomalies' } }) })
    expect(events).to.have.length(50)
  })

  it('interleaves files, each a key', async () => {
    const paths = [
      folder.write('s/a.csv', 'timestamp,value\n2024-01-01 00:00:00,1\n2024-01-01 00:05:00,2\n'),
      folder.write('s/b.csv', 'timestamp,value\n2024-01-01 00:00:00,5\nnever,6\n2024-01-01 00:10:00,7\n'),
    ]
    const event = { id: '', time: 'timestamp', key: '$source', value: 'value', features: '' }
    const { events, rejected, summary } = await run(paths, { pipeline: pipelineWith({ event }) })
    expect(events.map(({ verdict: { eventId, userId, timestamp } }) => [eventId, userId, timestamp])).to.deep.equal([
      ['a.csv:row-1', 'a.csv', Date.UTC(2024, 0, 1)],
      ['b.csv:row-1', 'b.csv', Date.UTC(2024, 0, 1)],
      ['a.csv:row-2', 'a.csv', Date.UTC(2024, 0, 1, 0, 5)],
      ['b.csv:row-3', 'b.csv', Date.UTC(2024, 0, 1, 0, 10)],
    ])
    expect(rejected).to.deep.equal([[2, 3, 'InvalidTime']])
    expect(summary.keys).to.equal(2)
  })

  it('names the file too where events of several have no id, and only then', async () => {
    const paths = [folder.write('n/a.csv', 'x0\n1\n2\n'), folder.write('n/b.csv', 'x0\n3\n')]
    const event = { id: '', time: '', key: '', value: '', featureFields: ['x*'] }
    const ids = async (inputs: readonly string[]) =>
      (await run(inputs, { pipeline: pipelineWith({ event }) })).events.map(({ verdict }) => verdict.eventId)
    expect(await ids(paths)).to.deep.equal(['a.csv:row-1', 'b.csv:row-1', 'a.csv:row-2'])
    expect(await ids(paths.slice(0, 1))).to.deep.equal(['row-1', 'row-2'])
  })

  it('stays finite on constants, on times that stand still or go back, and with one key for all', async () => {
    const times = [1_640_000_000, 1_640_000_000, 1_600_000_000, 0, 1_640_000_001]
    const path = folder.write(
      'constant.jsonl',
      Array.from({ length: 3000 }, (_, i) => {
        const value = i === 2999 ? 8 : 7
        return JSON.stringify({ userId: `u${i}`, timestamp: times[i % 5], value, features: { a: 0, b: 1e300 } })
      }).join('\n'),
    )
    const detectors = [
      { name: 'profile', profile: {} },
      { name: 'forest', isolationForest: {} },
      { name: 'discord', discord: {} },
    ]
    for (const key of ['', 'userId']) {
      const pipeline = pipelineWith({ event: { key }, detection: { detectors } })
      const { events, summary } = await run([path], { pipeline })
      expect(summary).to.include({ events: 3000, rejected: 0, keys: key === '' ? 1 : 3000 })
      for (const { verdict } of events) {
        expect(verdict.anomalyScore).to.be.within(0, 1)
        for (const score of Object.values(verdict.scores)) expect(score).to.be.within(0, 1)
        for (const { feature, observed } of verdict.reasons)
          if (feature === 'interval') expect(observed).to.be.at.least(0)
      }
      const last = events.at(-1)!.verdict
      if (key === '') expect(last.anomalyScore).to.equal(Math.max(...events.map(({ verdict }) => verdict.anomalyScore)))
    }
  })

  it('reads labels however 0 and 1 are written', async () => {
    const cells = ['0', '1', '0.0', '1.0', 'true', 'FALSE', '', '2', 'x', 'constructor']
    const csv = folder.write('l.csv', `userId,value,fraud\n${cells.map((cell) => `u,1,${cell}\n`).join('')}`)
    const fromCsv = await run([csv], { label: 'fraud' })
    expect(fromCsv.events.map(({ label }) => label)).to.deep.equal([
      0,
      1,
      0,
      1,
      1,
      0,
      undefined,
      undefined,
      undefined,
      undefined,
    ])
    const values = [0, 1, true, false, '1', 2, null, undefined]
    const jsonl = folder.write(
      'l.jsonl',
      values.map((fraud) => JSON.stringify({ userId: 'u', value: 1, fraud })).join('\n'),
    )
    const fromJson = await run([jsonl], { label: 'fraud' })
    expect(fromJson.events.map(({ label }) => label)).to.deep.equal([0, 1, 1, 0, 1, undefined, undefined, undefined])
    expect((await run([jsonl])).events.every(({ label }) => label === undefined)).to.equal(true)
  })

  it('reads nested labels by a dotted path, and a field of that whole name first', async () => {
    const path = folder.write(
      'n.jsonl',
      [
        { labels: { fraud: 1 } },
        { labels: { fraud: '0' }, 'labels.fraud': 1 },
        { labels: { fraud: null } },
        { labels: 1 },
        {},
      ]
        .map((truth) => JSON.stringify({ userId: 'u', value: 1, ...truth }))
        .join('\n'),
    )
    const nested = await run([path], { label: 'labels.fraud' })
    expect(nested.events.map(({ label }) => label)).to.deep.equal([1, 1, undefined, undefined, undefined])
    const csv = folder.write('n.csv', 'userId,value,labels.fraud\nu,1,1\nu,1,0\n')
    const flat = await run([csv], { label: 'labels.fraud' })
    expect(flat.events.map(({ label }) => label)).to.deep.equal([1, 0])
  })

  it('takes a label among the features for no feature', async () => {
    const path = folder.write('among.jsonl', JSON.stringify({ userId: 'u', value: 1, features: { a: 2, fraud: 1 } }))
    for (const features of ['features', undefined]) {
      const { events } = await run([path], { pipeline: pipelineWith({ event: { features } }), label: 'features.fraud' })
      expect(events.map(({ event, label }) => [event.features, label])).to.deep.equal([[[2], 1]])
    }
  })

  it('ends early when it is told to, with what was judged until then', async () => {
    const path = folder.write('c.jsonl', lines(50_000))
    const stop = new AbortController()
    let seen = 0
    const { summary } = await run([path], {
      signal: stop.signal,
      onEvent: () => {
        if (++seen === 1200) stop.abort()
      },
    })
    expect(summary.events).to.equal(1500)
    expect(seen).to.equal(1500)
  })

  it('fails with what its listener fails with, and reads no further', async () => {
    const path = folder.write('d.jsonl', lines(50_000))
    let seen = 0
    let bytes = 0
    const error = await run([path], {
      onBytes: (count) => (bytes += count),
      onEvent: () => {
        if (++seen === 700) throw new Error('the disk is full')
      },
    }).catch((error: Error) => error)
    expect(error).to.have.property('message', 'the disk is full')
    expect(seen).to.equal(700)
    expect(bytes).to.be.below(2.2 * 1024 * 1024)
  })

  it('judges what comes before the damaged part of a file, then says what is damaged', async () => {
    const text = Array.from({ length: 50_000 }, (_, i) => JSON.stringify({ userId: 'u', value: Math.sin(i) })).join(
      '\n',
    )
    const packed = gzipSync(text)
    const path = folder.write('e.jsonl.gz', packed.subarray(0, packed.length - 100))
    let events = 0
    const error = await run([path], { onEvent: () => events++ }).catch((error: Error) => error)
    expect(error)
      .to.have.property('message')
      .that.matches(/e\.jsonl\.gz: cannot be read: unexpected end of file$/)
    const told = events
    expect(told).to.be.within(20_000, 50_000)
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
    expect(events, 'nothing is told later').to.equal(told)
  })

  it('has nothing to tell of nothing', async () => {
    const { summary } = await run([folder.write('empty.csv', '')])
    expect(summary).to.deep.equal({ events: 0, alerts: 0, rejected: 0, keys: 0, modelVersion: 'LEARNING' })
  })
})

import { spawnSync } from 'node:child_process'
import { expect } from 'chai'
import { Registry } from 'prom-client'
import { createLogger } from '../../lib/log.ts'
import { createMetrics } from '../../lib/metrics.ts'
import { createProbes } from '../../lib/probes.ts'
import { extract, inject, startTelemetry, traced } from '../../lib/telemetry.ts'
import { judgementMetrics } from '../../workloads/judging/judgement-metrics.ts'
import type { ProcessedBatch } from '../../workloads/judging/processor.ts'
import { createGrpcScorer } from '../../workloads/scoring/grpc.ts'
import { type OtlpReceiver, startOtlpReceiver } from '../harness/otlp-receiver.ts'
import { serve } from './inference/serve.ts'

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

describe('Tracing', () => {
  let receiver: OtlpReceiver
  beforeEach(async () => {
    receiver = await startOtlpReceiver()
  })
  afterEach(() => receiver.stop())

  it('is one trace from what was received through scoring to the inference server', async () => {
    const telemetry = await startTelemetry({ endpoint: receiver.endpoint, serviceName: 'test' })
    const served = await serve()
    const scorer = createGrpcScorer({ address: served.address })
    const parent = extract((name) => (name === 'traceparent' ? Buffer.from(traceparent) : undefined))
    const sent = await traced('batch', { kind: 'consumer', parent, links: [parent!] }, async () => {
      await scorer.score({ columns: ['a'], rows: Float64Array.of(1), count: 1, explainFrom: 3 })
      return inject()
    })
    const failure = await traced('failing', {}, async () => {
      throw new Error('broken')
    }).catch((error: Error) => error.message)
    scorer.stop()
    await served.stop()
    await telemetry.stop!()

    const named = (name: string) => receiver.spans.find((span) => span.name === name)!
    const [batch, client, server] = ['batch', 'score rows', 'ScoreRows'].map(named)
    expect(batch).to.include({ traceId: traceparent.split('-')[1], parentSpanId: traceparent.split('-')[2], kind: 5 })
    expect(batch!.service).to.equal('test')
    expect(batch!.links).to.have.length(1)
    expect(client).to.include({ traceId: batch!.traceId, parentSpanId: batch!.spanId, kind: 3 })
    expect(server).to.include({ traceId: batch!.traceId, parentSpanId: client!.spanId, kind: 2 })
    expect(sent?.traceparent).to.equal(`00-${batch!.traceId}-${batch!.spanId}-01`)
    expect(failure).to.equal('broken')
    expect(named('failing').status).to.deep.include({ code: 2, message: 'broken' })
    expect(named('failing').parentSpanId ?? '').to.equal('')
  })

  it('names the trace in each line of the log that belongs to one', async () => {
    const lines: { readonly msg: string; readonly traceId?: string; readonly spanId?: string }[] = []
    const log = await createLogger({ destination: { write: (line) => lines.push(JSON.parse(line)) }, format: 'json' })
    log.info({}, 'before')
    const telemetry = await startTelemetry({ endpoint: receiver.endpoint, serviceName: 'test' })
    await traced('work', { parent: { traceparent } }, async () => {
      await Promise.resolve()
      log.info({}, 'within')
    })
    log.info({}, 'after')
    await telemetry.stop!()
    const span = receiver.spans.find(({ name }) => name === 'work')!
    expect(lines.map(({ msg, traceId, spanId }) => ({ msg, traceId, spanId }))).to.deep.equal([
      { msg: 'before', traceId: undefined, spanId: undefined },
      { msg: 'within', traceId: traceparent.split('-')[1], spanId: span.spanId },
      { msg: 'after', traceId: undefined, spanId: undefined },
    ])
  })

  it('gives the latency histogram exemplars, for whoever asks for OpenMetrics', async () => {
    const registry = new Registry()
    const count = judgementMetrics({ metrics: createMetrics(registry), clock: () => 7, modelVersion: () => 'm' })
    const batch = { outcomes: [{ isAnomaly: false }], episodes: [], late: 0, began: 0, given: 0 }
    const probes = createProbes({ port: 0, registry, stopping: new AbortController().signal })
    await probes.start!(new AbortController().signal)
    const metricsAs = async (Accept: string) => {
      const response = await fetch(`http://localhost:${probes.port}/metrics`, { headers: { Accept } })
      return { type: response.headers.get('content-type'), text: await response.text() }
    }
    const open = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5'
    const telemetry = await startTelemetry({ endpoint: receiver.endpoint, serviceName: 'test' })
    const effect = traced('work', { parent: { traceparent } }, () => count(batch as unknown as ProcessedBatch))
    effect()
    const { type, text } = await metricsAs(open)
    expect(type).to.match(/^application\/openmetrics-text/)
    const trace = traceparent.split('-')[1]
    expect(text).to.match(
      new RegExp(
        `^anomaly_detection_time_seconds_bucket\\{le="0.01"\\} 1 # \\{trace_id="${trace}"\\} 0.007 [\\d.]+$`,
        'm',
      ),
    )
    expect(text).to.match(/^anomaly_detection_total\{verdict="normal"\} 1$/m)
    expect(text.endsWith('# EOF\n')).to.equal(true)
    expect((await metricsAs('text/plain')).text).to.not.include(trace)
    await telemetry.stop!()
    expect((await metricsAs(open)).type).to.match(/^text\/plain/)
    await probes.stop!()
  })

  it('is not even loaded without an endpoint, but for the API that prom-client brings along', () => {
    const script = `
      const { startTelemetry, traced, inject } = await import('./lib/telemetry.ts')
      const { registerHooks } = await import('node:module')
      const loaded = []
      registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })
      await startTelemetry({ endpoint: undefined, serviceName: 'test' })
      await import('./workloads/scoring/grpc.ts')
      await import('./workloads/inference/main.ts')
      console.log(traced('span', {}, () => inject()), loaded.length > 10, loaded.filter((url) => /opentelemetry.(?!api)/.test(url)))`
    const cwd = new URL('../..', import.meta.url).pathname
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd })
    expect(String(stderr)).to.equal('')
    expect(String(stdout)).to.equal('undefined true []\n')
  })

  it('goes on when the receiver is away', async () => {
    await receiver.stop()
    const telemetry = await startTelemetry({ endpoint: receiver.endpoint, serviceName: 'test' })
    expect(traced('span', {}, () => 'done')).to.equal('done')
    await telemetry.stop!()
    receiver = await startOtlpReceiver()
  })
})

describe('extract()', () => {
  const of = (value: unknown) => extract((name) => (name === 'traceparent' ? value : undefined))?.traceparent

  it('reads headers as gRPC and Kafka carry them', () => {
    for (const value of [traceparent, Buffer.from(traceparent), [traceparent], [Buffer.from(traceparent)]])
      expect(of(value)).to.equal(traceparent)
  })

  it('takes nothing that is no trace', () => {
    const zero = '00-00000000000000000000000000000000-b7ad6b7169203331-01'
    for (const value of [undefined, null, '', 'hello', zero, traceparent.slice(0, 40), 7])
      expect(of(value)).to.equal(undefined)
  })
})

import type { Part } from './lifecycle.ts'
import { currentTracing, type SpanOptions, type TraceHeaders, useTracing } from './tracing.ts'

/** Runs `work`, which may be asynchronous, within a span. Without telemetry only `work` is run. */
export function traced<T>(name: string, options: SpanOptions, work: () => T): T {
  const tracing = currentTracing()
  return tracing === undefined ? work() : tracing.traced(name, options, work)
}

/** The active span, for the headers of what is sent; undefined where there is none. */
export function inject(): TraceHeaders | undefined {
  return currentTracing()?.inject()
}

/** The trace that the headers of something received carry; undefined where they carry none. */
export function extract(headerOf: (name: 'traceparent' | 'tracestate') => unknown): TraceHeaders | undefined {
  const traceparent = textOf(headerOf('traceparent'))
  if (traceparent === undefined || !wellFormed.test(traceparent)) return undefined
  return { traceparent, tracestate: textOf(headerOf('tracestate')) }
}

const wellFormed = /^[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}/

function textOf(value: unknown): string | undefined {
  const first = Array.isArray(value) ? value[0] : value
  return typeof first === 'string' ? first : Buffer.isBuffer(first) ? first.toString('latin1') : undefined
}

export interface TelemetryOptions {
  /** Of an OTLP receiver over HTTP, such as http://localhost:4318; absent: no telemetry, and nothing of it is loaded. */
  readonly endpoint: string | undefined
  readonly serviceName: string
}

/** Traces from here on. The part's end sends what is left. */
export async function startTelemetry({ endpoint, serviceName }: TelemetryOptions): Promise<Part> {
  if (endpoint === undefined || endpoint === '') return { name: 'telemetry' }
  const { startSdk } = await import('./telemetry-sdk.ts')
  const sdk = startSdk({ endpoint, serviceName })
  useTracing(sdk)
  return {
    name: 'telemetry',
    async stop() {
      useTracing(undefined)
      await sdk.shutdown()
    },
  }
}

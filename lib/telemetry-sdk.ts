import {
  type Context,
  context,
  type Link,
  propagation,
  ROOT_CONTEXT,
  SpanKind as SdkSpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { NodeSDK } from '@opentelemetry/sdk-node'
import { messageOf } from './errors.ts'
import type { SpanKind, TraceHeaders, Tracing } from './tracing.ts'

const kinds: Readonly<Record<SpanKind, SdkSpanKind>> = {
  internal: SdkSpanKind.INTERNAL,
  server: SdkSpanKind.SERVER,
  client: SdkSpanKind.CLIENT,
  producer: SdkSpanKind.PRODUCER,
  consumer: SdkSpanKind.CONSUMER,
}

/** Sends spans over OTLP/HTTP in the background; a receiver that is away costs spans, never events. */
export function startSdk(options: {
  readonly endpoint: string
  readonly serviceName: string
}): Tracing & { shutdown(): Promise<void> } {
  const { endpoint, serviceName } = options
  const url = endpoint.endsWith('/v1/traces') ? endpoint : `${endpoint.replace(/\/$/, '')}/v1/traces`
  const sdk = new NodeSDK({ serviceName, traceExporter: new OTLPTraceExporter({ url, timeoutMillis: 3000 }) })
  sdk.start()
  const tracer = trace.getTracer('anomaly')

  return {
    traced(name, { kind = 'internal', parent, links = [], attributes = {} }, work) {
      const span = tracer.startSpan(
        name,
        { kind: kinds[kind], attributes: { ...attributes }, links: links.flatMap(linkOf) },
        parent === undefined ? context.active() : contextOf(parent),
      )
      const fail = (error: unknown): never => {
        span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) })
        span.end()
        throw error
      }
      let result: ReturnType<typeof work>
      try {
        result = context.with(trace.setSpan(context.active(), span), work)
      } catch (error) {
        return fail(error)
      }
      if (!(result instanceof Promise)) {
        span.end()
        return result
      }
      return result.then((value) => {
        span.end()
        return value
      }, fail) as typeof result
    },
    inject() {
      const headers: { traceparent?: string; tracestate?: string } = {}
      propagation.inject(context.active(), headers)
      return headers.traceparent === undefined ? undefined : (headers as TraceHeaders)
    },
    async shutdown() {
      // An unreachable receiver must not keep a process from ending well.
      await sdk.shutdown().catch(() => {})
      // The SDK leaves itself registered, and the next one of this process would be ignored.
      for (const api of [trace, context, propagation]) api.disable()
    },
  }
}

function contextOf(headers: TraceHeaders): Context {
  return propagation.extract(ROOT_CONTEXT, headers)
}

function linkOf(headers: TraceHeaders): Link[] {
  const linked = trace.getSpanContext(contextOf(headers))
  return linked === undefined ? [] : [{ context: linked }]
}

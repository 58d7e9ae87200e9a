/** W3C Trace Context, as headers carry it. */
export interface TraceHeaders {
  readonly traceparent: string
  readonly tracestate?: string | undefined
}

export const spanKinds = ['internal', 'server', 'client', 'producer', 'consumer'] as const
export type SpanKind = (typeof spanKinds)[number]

export interface SpanOptions {
  /** internal if absent. */
  readonly kind?: SpanKind | undefined
  /** What the span continues; the active span if absent. */
  readonly parent?: TraceHeaders | undefined
  /** Others that the span works for, as a batch does for its records. */
  readonly links?: readonly TraceHeaders[] | undefined
  readonly attributes?: Readonly<Record<string, string | number | boolean>> | undefined
}

/** What an SDK brings; `telemetry-sdk.ts` does. */
export interface Tracing {
  traced<T>(name: string, options: SpanOptions, work: () => T): T
  inject(): TraceHeaders | undefined
}

let current: Tracing | undefined

export function currentTracing(): Tracing | undefined {
  return current
}

/** All of the process traces by this from here on; by nothing without it. */
export function useTracing(tracing: Tracing | undefined): void {
  current = tracing
}

export interface TraceFields {
  readonly traceId?: string
  readonly spanId?: string
}

/** Ids for a line of the log: of the active span, or of what was received; none where there is no trace. */
export function traceFields(headers: TraceHeaders | undefined = current?.inject()): TraceFields {
  const [, traceId, spanId] = headers?.traceparent.split('-') ?? []
  return traceId === undefined || spanId === undefined ? {} : { traceId, spanId }
}

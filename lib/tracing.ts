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

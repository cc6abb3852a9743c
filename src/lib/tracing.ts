/** What a span says: names of things and codes, never a secret, a person or what somebody wrote. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>

export interface SpanOptions {
  readonly kind?: 'client' | 'server'
  readonly attributes?: SpanAttributes
  /** `traceparent` of who asks (W3C Trace Context, section 3.2); absent: the span that this is done in. */
  readonly parent?: string | undefined
}

/** Where spans go. */
export interface Tracer {
  /** Does `work` in a span that ends with it; of what it throws the span has the code alone. */
  during<T>(name: string, options: SpanOptions, work: () => T): T
  /** More about the span that this is done in; what is only known later, its name too. */
  note(attributes: SpanAttributes, name?: string): void
  /** What tells the next hop of it. */
  headers(): { traceparent?: string }
  /** Hands over what is left. */
  close(): Promise<void>
}

const untraced: Tracer = {
  during: (_name, _options, work) => work(),
  note() {},
  headers: () => ({}),
  async close() {},
}

let current = untraced

/** The spans of this process; none, at no cost, until {@link beginTracing}. */
export const tracing: Omit<Tracer, 'close'> = {
  during: (name, options, work) => current.during(name, options, work),
  note: (attributes, name) => current.note(attributes, name),
  headers: () => current.headers(),
}

/** Sends spans there from now on. @returns what stops it, once all are handed over */
export function beginTracing(tracer: Tracer): () => Promise<void> {
  current = tracer
  return async () => {
    if (current === tracer) current = untraced
    await tracer.close()
  }
}

type Environment = Readonly<Record<string, string | undefined>>

/** Whether the standard variables of OpenTelemetry ask for traces: an endpoint, or the exporter by name. */
export function isTraced(env: Environment): boolean {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true') return false
  const exporter = env.OTEL_TRACES_EXPORTER
  if (exporter) return exporter === 'otlp'
  return Boolean(env.OTEL_EXPORTER_OTLP_ENDPOINT || env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)
}

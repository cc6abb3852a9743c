import {
  type Context,
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import manifest from '../../package.json' with { type: 'json' }
import { JitError } from '../lib/errors.ts'
import type { SpanOptions, Tracer } from '../lib/tracing.ts'

const KINDS = { client: SpanKind.CLIENT, server: SpanKind.SERVER } as const
/** Longer than this nobody waits at the end for a collector. Milliseconds. */
const CLOSE_MS = 2000

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Spans by the OpenTelemetry SDK, sent by OTLP over HTTP as its standard variables say (`OTEL_EXPORTER_OTLP_*`,
 * `OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`).
 * @param service its name, unless the variables give another
 */
export function createOtelTracer(service: string, env: Environment): Tracer {
  const contexts = new AsyncLocalStorageContextManager().enable()
  const propagator = new W3CTraceContextPropagator()
  const provider = new TracerProvider({
    sampler: samplerOf(env),
    resource: defaultResource()
      .merge(
        resourceFromAttributes({ 'service.name': service, 'service.version': manifest.version }),
      )
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
  })
  const tracer = provider.getTracer('jit', manifest.version)
  const parentOf = ({ parent }: SpanOptions): Context =>
    parent === undefined
      ? contexts.active()
      : propagator.extract(ROOT_CONTEXT, { traceparent: parent }, defaultTextMapGetter)
  return {
    during(name, options, work) {
      const { kind, attributes = {} } = options
      const parent = parentOf(options)
      const span = tracer.startSpan(
        name,
        { kind: kind ? KINDS[kind] : SpanKind.INTERNAL, attributes },
        parent,
      )
      return ended(span, () => contexts.with(trace.setSpan(parent, span), work))
    },
    note(attributes, name) {
      const span = trace.getSpan(contexts.active())
      span?.setAttributes(attributes)
      if (name !== undefined) span?.updateName(name)
    },
    headers() {
      const carrier: { traceparent?: string } = {}
      propagator.inject(contexts.active(), carrier, defaultTextMapSetter)
      return carrier.traceparent === undefined ? {} : { traceparent: carrier.traceparent }
    },
    async close() {
      const late = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_MS).unref())
      await Promise.race([provider.shutdown().catch(() => {}), late])
    },
  }
}

/** Ends a span with what it is of, which may be a promise. */
function ended<T>(span: Span, work: () => T): T {
  const fail = (thrown: unknown): never => {
    const { code } = JitError.from(thrown)
    span.setAttribute('error.type', code).setStatus({ code: SpanStatusCode.ERROR }).end()
    throw thrown
  }
  let result: T
  try {
    result = work()
  } catch (thrown) {
    return fail(thrown)
  }
  if (!(result instanceof Promise)) {
    span.end()
    return result
  }
  return result.then((value: unknown) => {
    span.end()
    return value
  }, fail) as T
}

/** As the specification has it (Environment Variable Specification, General SDK Configuration). */
function samplerOf(env: Environment): Sampler {
  const { OTEL_TRACES_SAMPLER: name = 'parentbased_always_on', OTEL_TRACES_SAMPLER_ARG: argument } =
    env
  const ratio = argument ? Number(argument) : 1
  const roots: Readonly<Record<string, Sampler>> = {
    always_on: new AlwaysOnSampler(),
    always_off: new AlwaysOffSampler(),
    traceidratio: new TraceIdRatioBasedSampler(ratio),
  }
  const root = roots[name.replace(/^parentbased_/, '')] ?? new AlwaysOnSampler()
  return name.startsWith('parentbased_') ? new ParentBasedSampler({ root }) : root
}

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'

interface Attribute {
  readonly key: string
  readonly value: Record<string, unknown>
}

interface ExportedSpan {
  readonly service: string
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly attributes: readonly Attribute[]
  readonly status: { readonly code?: number }
}

interface Exported {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeSpans: readonly { readonly spans: readonly Omit<ExportedSpan, 'service'>[] }[]
  }[]
}

/** A collector that keeps what it was sent. */
let collector: Server
let env: Record<string, string>
const spans: ExportedSpan[] = []
beforeAll(async () => {
  collector = createServer(async (request, response) => {
    const { resourceSpans } = (await json(request)) as Exported
    for (const { resource, scopeSpans } of resourceSpans) {
      const name = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue
      const all = scopeSpans.flatMap((scope) => scope.spans)
      spans.push(...all.map((span) => ({ ...span, service: String(name) })))
    }
    response.end('{}')
  }).listen(0, '127.0.0.1')
  await once(collector, 'listening')
  const { port } = collector.address() as AddressInfo
  env = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` }
})
afterAll(() => collector.close())

test('one trace leads from the command through the broker to the target, and holds no secret', async () => {
  using home = new Home()
  const plane = await ControlPlane.start({ env })
  await plane.signIn(home, 'admin')
  const command = ['exec', '--env', 'dev', '--task', 'deploy', '--reason', 'canary-reason']
  const ran = await home.run([...command, '--', 'sh', '-c', 'env'], env)
  expect(ran.code).toBe(0)
  await plane.stop()
  const root = spans.find(({ name }) => name === 'jit exec')
  const trace = spans.filter(({ traceId }) => traceId === root?.traceId)
  const parents = new Map(trace.map((span) => [span.spanId, span]))
  /** From the root to the span, each with whose it is. */
  const pathTo = (name: string): string[] => {
    const path: string[] = []
    let span = trace.find((one) => one.name === name)
    for (; span; span = parents.get(span.parentSpanId ?? ''))
      path.unshift(`${span.service} ${span.name}`)
    return path
  }
  const way = ['jit jit exec', 'jit connect', 'jit-broker connect']
  expect(pathTo('authenticate')).toEqual([...way, 'jit-broker authenticate'])
  expect(pathTo('decide')).toEqual([...way, 'jit-broker lifeline: request', 'jit-broker decide'])
  expect(pathTo('mint')).toEqual([...way, 'jit-broker lifeline: request', 'jit-broker mint'])
  expect(pathTo('revoke')).toEqual([...way, 'jit-broker lifeline: release', 'jit-broker revoke'])
  const mint = trace.find(({ name }) => name === 'mint')
  expect(mint?.attributes).toContainEqual({ key: 'jit.target', value: { stringValue: 'dev-api' } })
  const text = JSON.stringify(spans)
  const token = /^DEV_API_TOKEN=(.+)$/m.exec(ran.stdout)?.[1] ?? ran.stdout.match(/eyJ[\w.-]+/)?.[0]
  expect(token).toBeTruthy()
  for (const secret of [String(token), 'canary-reason', 'eyJ', 'DPoP ', '"admin"']) {
    expect(text).not.toContain(secret)
  }
})

test('a refusal has its code in the span, and no more', async () => {
  using home = new Home()
  await home.signIn('http://127.0.0.1:1')
  const refused = await home.run(['whoami'], env)
  expect(refused.code).toBe(5)
  const failed = spans.find(({ name, status }) => name === 'HTTP GET' && status.code === 2)
  expect(failed?.attributes).toContainEqual({
    key: 'error.type',
    value: { stringValue: 'broker_unreachable' },
  })
  expect(JSON.stringify(failed)).not.toContain('nothing listens')
})

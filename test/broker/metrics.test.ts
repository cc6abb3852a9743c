import { afterEach, expect, test } from 'vitest'
import { JitError } from '../../src/lib/errors.ts'
import { freePort } from '../servers/free-port.ts'
import { Harness, request } from './harness.ts'

let harness: Harness
afterEach(() => harness[Symbol.asyncDispose]())

const TOKEN = { Authorization: 'Bearer introspection-secret' }
const withMetrics = (more: object = {}) =>
  Harness.start({ limits: 'metrics: { token: env:SECRET }', ...more })

async function scrape(headers: Record<string, string> = TOKEN): Promise<Map<string, number>> {
  const answer = await fetch(`${harness.url}/metrics`, { headers })
  expect(answer.status).toBe(200)
  const lines = (await answer.text()).split('\n').filter((line) => line && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const cut = line.lastIndexOf(' ')
      return [line.slice(0, cut), Number(line.slice(cut + 1))]
    }),
  )
}

test('grants, requests, calls to targets and the log are counted', async () => {
  harness = await withMetrics()
  const alice = await harness.client({ name: 'Alice' })
  await alice.grant()
  const denied = await alice.call('POST', '/v1/grants', {
    key: 'k'.repeat(20),
    details: request({ environment: 'prod', targets: ['vault'] }),
  })
  expect(denied.status).toBe(403)
  const during = await scrape()
  expect(during.get('jit_grants{state="active",task="deploy"}')).toBe(1)
  expect(during.get('jit_lifelines')).toBe(1)
  expect(during.get('jit_requests_total{task="deploy",outcome="permitted"}')).toBe(1)
  expect(during.get('jit_requests_total{task="deploy",outcome="denied"}')).toBe(1)
  expect(during.get('jit_refusals_total{code="denied"}')).toBe(1)
  expect(during.get('jit_target_duration_seconds_count{target="shop",operation="mint"}')).toBe(1)
  expect(during.get('jit_audit_entries_total{event="grant.granted"}')).toBe(1)
  expect(during.get('jit_store_up')).toBe(1)
  expect(during.get('jit_store_transaction_duration_seconds_count')).toBeGreaterThan(3)
})

test('a revocation that is stuck is counted by target, with its age', async () => {
  let now = Date.now()
  harness = await withMetrics({ now: () => now })
  const alice = await harness.client()
  const { line, granted } = await alice.grant()
  const { promise: refused, resolve } = Promise.withResolvers<void>()
  harness.shop.beforeRevoke = async () => {
    resolve()
    throw new JitError('target_unreachable', 'shop: nothing listens there')
  }
  line.send({ type: 'release', grant: granted.grant, outcome: { code: 0, signal: null } })
  await refused
  await line.next('released')
  now += 90_000
  const seen = await scrape()
  expect(seen.get('jit_revocations_stuck{target="shop"}')).toBe(1)
  expect(seen.get('jit_revocations_stuck_oldest_seconds')).toBeCloseTo(90, -1)
  expect([seen.get('jit_quarantined'), seen.get('jit_forked')]).toEqual([0, 0])
  const failures =
    'jit_target_failures_total{target="shop",operation="revoke",code="target_unreachable"}'
  expect(seen.get(failures)).toBe(1)
  const ready = await (await fetch(`${harness.url}/readyz`)).json()
  expect(ready).toMatchObject({
    status: 'ok',
    stuck_revocations: 1,
    stuck_since: expect.any(String),
  })
})

test('no label names a person, a grant, a session or a path', async () => {
  harness = await withMetrics()
  const alice = await harness.client({ sub: 'alice-sub', name: 'Alice Example' })
  const { granted } = await alice.grant()
  await alice.call('GET', `/v1/grants/${granted.grant}`)
  await alice.call('GET', '/v1/nothing/alice-sub')
  await fetch(`${harness.url}/alice-sub`)
  const text = [...(await scrape()).keys()].join('\n')
  expect(text).toContain('route="/v1/grants/:id"')
  expect(text).toContain('route="none"')
  for (const secret of ['alice', 'Alice', granted.grant, granted.credentials[0]?.handle ?? '?'])
    expect(text).not.toContain(secret)
})

test.each([
  ['no token', {}],
  ['another token', { Authorization: 'Bearer introspection-secreT' }],
  ['another scheme', { Authorization: 'Basic introspection-secret' }],
])('with %s there are no metrics', async (_, headers) => {
  harness = await withMetrics()
  const answer = await fetch(`${harness.url}/metrics`, { headers })
  expect(answer.status).toBe(401)
  expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="metrics"')
  expect(await answer.text()).not.toContain('jit_')
})

test('unless they are configured there are none, and a token that can be guessed is no token', async () => {
  harness = await Harness.start()
  expect((await fetch(`${harness.url}/metrics`, { headers: TOKEN })).status).toBe(404)
  const guessable = { limits: 'metrics: { token: env:SHORT }', env: { SHORT: 'hunter2' } }
  await expect(Harness.start(guessable)).rejects.toThrow('metrics.token: expected at least 16')
})

test('at an address of their own there are the metrics and nothing else, and none where the broker listens', async () => {
  const listen = `127.0.0.1:${await freePort()}`
  harness = await Harness.start({ limits: `metrics: { listen: ${listen} }` })
  const answer = await fetch(`http://${listen}/metrics`)
  expect(answer.headers.get('content-type')).toContain('text/plain; version=0.0.4')
  expect(await answer.text()).toContain('jit_build_info{')
  expect((await fetch(`http://${listen}/v1/whoami`)).status).toBe(404)
  expect((await fetch(`${harness.url}/metrics`)).status).toBe(404)
})

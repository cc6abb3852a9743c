import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { KeyPurpose } from '../../src/broker/keys.ts'
import { Harness, request } from './harness.ts'

let harness: Harness

beforeEach(async () => {
  harness = await Harness.start()
})
afterEach(() => harness[Symbol.asyncDispose]())

const withdraw = (purpose: KeyPurpose) =>
  harness.operate(({ keys, operator }) => keys.withdraw(purpose, { operator }))

/** What the API behind the target is told of a token. */
async function introspect(token: string): Promise<{ active: boolean }> {
  const answer = await fetch(`${harness.url}/grants/introspect`, {
    method: 'POST',
    headers: { Authorization: `Basic ${btoa('api:introspection-secret')}` },
    body: new URLSearchParams({ token }),
  })
  return answer.json() as Promise<{ active: boolean }>
}

describe('an operator withdraws keys while the broker serves', () => {
  test('of sessions: each ends, what it holds is revoked, and whoever signs in anew works on', async () => {
    const client = await harness.client()
    const { line } = await client.grant()
    await withdraw('session')
    expect((await line.next('revoked')).ended_by).toBe('session')
    await expect.poll(() => harness.shop.handles.size).toBe(0)
    const { status } = await client.call('GET', '/v1/grants')
    expect(status).toBe(401)
    const anew = async () => (await (await harness.client()).call('GET', '/v1/grants')).status
    await expect.poll(anew).toBe(200)
  })

  test('of grant tokens: those it signed end at once, other grants live on', async () => {
    const details = request({ task: 'plan', targets: ['api'] })
    const token = await (await harness.client()).grant(details)
    const other = await (await harness.client({ sub: 'lee' })).grant()
    const secret = String(token.granted.credentials[0]?.env.API_TOKEN)
    expect((await introspect(secret)).active).toBe(true)
    await withdraw('grant')
    expect((await token.line.next('revoked')).ended_by).toBe('revoked')
    expect((await introspect(secret)).active).toBe(false)
    expect(harness.shop.handles.has(String(other.granted.credentials[0]?.handle))).toBe(true)
  })
})

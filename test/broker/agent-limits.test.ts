import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Harness, request, type TestClient } from './harness.ts'
import { approve, POLICIES, PROD } from './waiting.ts'

let harness: Harness
let now: number
let person: TestClient
let oncall: TestClient

beforeEach(async () => {
  now = Date.now()
  const limits = 'limits: { agent_waiting: 2, agent_asks: 4, agent_cooldown: 5m }'
  harness = await Harness.start({ now: () => now, policies: POLICIES, limits })
  person = await harness.client({ sub: 'dev' })
  oncall = await harness.client({ sub: 'olga', groups: ['oncall'] })
})

afterEach(() => harness[Symbol.asyncDispose]())

/** Asks ahead for production, which waits. */
const ask = (client: TestClient, details: Parameters<typeof request>[0] = {}) =>
  client.call('POST', '/v1/grants', {
    key: crypto.randomUUID(),
    details: request({ ...PROD, ...details }),
  })

const deny = (grant: string) =>
  oncall.call('POST', `/v1/grants/${grant}/deny`, { reason: 'not today' })

describe('a copilot', () => {
  test('has few requests that wait at once; each that is answered makes room', async () => {
    const agent = await harness.delegated(person)
    const first = await ask(agent)
    expect((await ask(agent, { task: 'plan' })).status).toBe(201)
    const third = await ask(agent)
    expect(third.body).toMatchObject({ code: 'limit_reached', hint: expect.stringMatching('jit') })
    await agent.call('POST', `/v1/grants/${first.body.id}/revoke`)
    expect((await ask(agent)).status).toBe(201)
  })

  test('asks people only so often in ten minutes, whatever becomes of it', async () => {
    const agent = await harness.delegated(person)
    for (let asked = 0; asked < 4; asked++) {
      const { body } = await ask(agent)
      await agent.call('POST', `/v1/grants/${body.id}/revoke`)
      now += 1000
    }
    const { body } = await ask(agent)
    const until = new Date(now - 4000 + 600_000).toISOString()
    expect(body).toMatchObject({ code: 'limit_reached', hint: `ask again after ${until}` })
    now += 600_000
    expect((await ask(agent)).status).toBe(201)
  })

  test('is not heard for a while about what a person denied, in no session of its name', async () => {
    const denied = await ask(await harness.delegated(person))
    expect((await deny(denied.body.id)).status).toBe(200)
    const until = new Date(now + 300_000).toISOString()
    now += 60_000
    const agent = await harness.delegated(person)
    const again = await ask(agent, { reason: 'please' })
    expect(again.body).toMatchObject({
      code: 'limit_reached',
      detail: expect.stringMatching('a person has denied'),
      hint: `ask again after ${until}`,
    })
    expect((await ask(agent, { task: 'plan' })).status).toBe(201)
    now += 240_000
    expect((await ask(agent)).status).toBe(201)
  })

  test('may go on with what was approved, and asks again for what merely lapsed', async () => {
    const agent = await harness.delegated(person)
    const first = await ask(agent)
    await agent.call('POST', `/v1/grants/${first.body.id}/revoke`)
    const second = await ask(agent)
    expect(second.status).toBe(201)
    expect((await approve(oncall, second.body.id)).body.state).toBe('approved')
    expect((await ask(agent)).status).toBe(201)
  })
})

test('a person may ask again at once for what was denied, and more than a copilot', async () => {
  for (let asked = 0; asked < 6; asked++) {
    const { body, status } = await ask(person)
    expect(status).toBe(201)
    if (asked < 2) await deny(body.id)
  }
})

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { GrantExplanation } from '../../src/protocol/explanation.ts'
import { parse } from '../../src/protocol/parse.ts'
import { Harness, request, type TestClient } from './harness.ts'

const POLICIES = `
@id("everyone") permit (principal, action, resource) when { context.claimed.branch == "main" };
@id("production-needs-oncall") @description("production needs the approval of oncall")
forbid (principal, action, resource)
when { resource.tier == "production" } unless { context.approvals.contains(Group::"oncall") };
@id("oncall-approves") permit (principal in Group::"oncall", action == Action::"approve", resource);
@id("admins-see") permit (principal in Group::"admins", action == Action::"view", resource);
`

let harness: Harness
beforeEach(async () => {
  harness = await Harness.start({ policies: POLICIES })
})
afterEach(() => harness[Symbol.asyncDispose]())

const person = (sub: string, groups: string[] = []) =>
  harness.client({ sub, preferred_username: sub, groups })

const explain = async (client: TestClient, grant: string) => {
  const { status, body } = await client.call('GET', `/v1/policy/explain?grant=${grant}`)
  return { status, body }
}
const explained = async (client: TestClient, grant: string) =>
  parse(GrantExplanation, (await explain(client, grant)).body, { what: 'explanation' })

/** Of the set in force. */
async function policyVersion(): Promise<string> {
  const answer = await fetch(`${harness.url}/readyz`)
  return ((await answer.json()) as { policies: string }).policies
}

/** Asks for production ahead, which waits. */
async function askAhead(client: TestClient): Promise<string> {
  const details = request({ environment: 'prod', targets: ['vault'] })
  const { body } = await client.call('POST', '/v1/grants', { key: crypto.randomUUID(), details })
  return body.id
}

describe('GET /v1/policy/explain', () => {
  test('says what a request waits for, under today’s policies and as it was decided', async () => {
    const dev = await person('dev')
    const id = await askAhead(dev)
    const { today, recorded, ...rest } = await explained(dev, id)
    expect(rest).toEqual({ grant: id, environment: 'prod', task: 'deploy' })
    expect(today).toMatchObject({
      version: await policyVersion(),
      decision: 'obligation',
      obligation: { approvals: [{ group: 'oncall', people: 1 }] },
      then_permitted: ['everyone'],
      answers: [
        {
          target: 'vault',
          because: 'forbidden',
          policies: [
            {
              id: 'production-needs-oncall',
              attributes: { 'context.approvals': [], 'resource.tier': 'production' },
            },
          ],
        },
      ],
    })
    expect(recorded).toMatchObject([
      {
        version: await policyVersion(),
        decisions: [{ target: 'vault', effect: 'deny', policies: ['production-needs-oncall'] }],
      },
    ])
  })

  test('explains what was asked ahead and denied, by the id that the denial names', async () => {
    const dev = await person('dev')
    const claimed = { repository: '', branch: 'elsewhere', commit: '', dirty: false }
    const details = request({ environment: 'prod', targets: ['vault'], claimed })
    const asked = { key: crypto.randomUUID(), details }
    const { status, body } = await dev.call('POST', '/v1/grants', asked)
    expect({ status, code: body.code }).toEqual({ status: 403, code: 'denied' })
    const { today, recorded } = await explained(dev, body.grant)
    expect(today?.decision).toBe('deny')
    expect(recorded).toMatchObject([{ event: 'grant.denied' }])
  })

  test('counts the approvals that are there', async () => {
    const dev = await person('dev')
    const dana = await person('dana', ['oncall'])
    const id = await askAhead(dev)
    const { body } = await dana.call('GET', `/v1/approvals/${id}`)
    await dana.call('POST', `/v1/grants/${id}/approve`, { hash: body.hash })
    const { today } = await explained(dev, id)
    expect(today?.decision).toBe('permit')
    expect(today?.answers[0]?.policies).toMatchObject([
      { id: 'everyone', attributes: { 'context.claimed.branch': 'main' } },
    ])
  })

  test('tells a decision of yesterday’s policies from what today’s would say', async () => {
    const dev = await person('dev')
    const { granted } = await dev.grant()
    const before = await policyVersion()
    const stricter = POLICIES.replace('"main"', '"release"')
    writeFileSync(join(harness.directory, 'tasks.cedar'), stricter)
    await harness.broker.reload()
    const { today, recorded } = await explained(dev, granted.grant)
    expect(recorded[0]).toMatchObject({
      event: 'grant.permitted',
      version: before,
      decisions: [{ target: 'shop', effect: 'permit', policies: ['everyone'] }],
    })
    expect(today).toMatchObject({
      decision: 'deny',
      answers: [
        {
          near: [
            {
              id: 'everyone',
              unmet: [
                {
                  condition: 'context.claimed.branch == "release"',
                  attributes: { 'context.claimed.branch': 'main' },
                },
              ],
            },
          ],
        },
      ],
    })
    expect(today?.version).not.toBe(before)
  })

  test('names what is above the ceiling of the session, which no policy changes', async () => {
    const agent = await harness.delegated(await person('dev'), { ceiling: { tasks: ['plan'] } })
    const line = await agent.connect()
    line.send({ type: 'request', key: crypto.randomUUID(), details: request() })
    const { grant } = await line.next('requested')
    await expect(line.next('granted')).rejects.toThrow('outside what this session was given')
    const { today } = await explained(agent, grant)
    expect(today).toMatchObject({ decision: 'deny', outside: ["task 'deploy'"] })
    expect(today?.answers.map(({ asked, effect }) => [asked, effect])).toEqual([
      ['principal', 'permit'],
      ['owner', 'permit'],
    ])
  })

  test('is for one’s own grants, and for those whom policy lets see them', async () => {
    const id = await askAhead(await person('dev'))
    const other = await explain(await person('other'), id)
    expect(other).toMatchObject({ status: 404, body: { code: 'not_found' } })
    expect((await explain(await person('ada', ['admins']), id)).status).toBe(200)
    const nothing = await explain(await person('ada', ['admins']), 'g_nope')
    expect(nothing.status).toBe(404)
    expect((await (await person('dev')).call('GET', '/v1/policy/explain')).status).toBe(400)
  })
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Harness, request } from './harness.ts'

const POLICIES = `
@id("everyone") permit (principal, action, resource);
@id("production-for-a-reason") forbid (principal, action, resource)
when { resource.tier == "production" && context.reason == "" };
@id("plans-with-a-ticket") forbid (principal, action == Action::"plan", resource)
when { resource.tier == "production" && context.ticket == "" };
@id("strangers-never") forbid (principal, action, resource) unless { principal in Group::"dba" };
@id("production-deploys-wait") forbid (principal, action == Action::"deploy", resource)
when { resource.tier == "production" } unless { context.approvals.contains(Group::"oncall") };
`

let harness: Harness
beforeAll(async () => {
  harness = await Harness.start({ policies: POLICIES })
})
afterAll(() => harness[Symbol.asyncDispose]())

/** What somebody is told who asks for this. */
async function problemOf(
  details: Parameters<typeof request>[0],
  groups: string[] = ['dba'],
): Promise<{ code: string; hint: string }> {
  const client = await harness.client({ sub: groups.join('-') || 'nobody', groups })
  const json = { key: crypto.randomUUID(), details: request({ reason: '', ...details }) }
  return (await client.call('POST', '/v1/grants', json)).body
}

describe('a denial says what would help', () => {
  test('a reason, where that is all, or all but what else can be got', async () => {
    const asked = { environment: 'prod', targets: ['vault'] }
    const hint = 'policy wants to be told: ask again with --reason'
    expect(await problemOf({ ...asked, task: 'deploy' })).toMatchObject({ code: 'denied', hint })
    expect((await problemOf({ ...asked, task: 'plan', ticket: 'OPS-1' })).hint).toBe(hint)
    expect((await problemOf({ ...asked, task: 'plan' })).hint).toBe(`${hint} and --ticket`)
  })

  test('somebody else, where saying more changes nothing', async () => {
    expect(await problemOf({ environment: 'prod', targets: ['vault'] }, [])).toMatchObject({
      code: 'denied',
      hint: 'ask whoever keeps the policies, or ask for less',
    })
  })
})

test('a target without the task says which tasks it has', async () => {
  expect(await problemOf({ task: 'deploy', targets: ['api'] })).toMatchObject({
    code: 'request_invalid',
    hint: 'it has: plan',
  })
})

import type { ServerMessage } from '../../src/protocol/lifeline.ts'
import { request, type TestClient, type TestLifeline } from './harness.ts'

/** Production wants the approval of oncall, plans there that of two. */
export const POLICIES = `
@id("everyone") permit (principal, action, resource);
@id("production-needs-oncall") @description("production needs the approval of oncall")
forbid (principal, action, resource)
when { resource.tier == "production" } unless { context.approvals.contains(Group::"oncall") };
@id("restricted-plans-need-two") forbid (principal, action == Action::"plan", resource)
when { resource.tier == "production" } unless { context.approvalsByTwo.contains(Group::"oncall") };
@id("only-short") forbid (principal, action, resource) when { context.ttl > 1800 };
@id("not-by-the-owner-alone") forbid (principal is Agent, action, resource)
when { resource.tier == "production" && [principal.owner].containsAll(context.approvers) };
@id("oncall-approves") permit (principal in Group::"oncall", action == Action::"approve", resource);
@id("admins-see") permit (principal in Group::"admins", action == Action::"view", resource);
`
/** What waits under these. */
export const PROD = { environment: 'prod', targets: ['vault'], reason: 'release 12' }

/** A request that waits on its lifeline. */
export interface Waiting {
  line: TestLifeline
  pending: Extract<ServerMessage, { type: 'pending' }>
  key: string
}

/** Asks for production, which waits. */
export async function ask(
  client: TestClient,
  details: Parameters<typeof request>[0] = {},
): Promise<Waiting> {
  const line = await client.connect()
  const key = crypto.randomUUID()
  line.send({ type: 'request', key, details: request({ ...PROD, ...details }) })
  return { line, key, pending: await line.next('pending') }
}

/** Says yes to what is shown now. */
export async function approve(client: TestClient, grant: string) {
  const { body } = await client.call('GET', `/v1/approvals/${grant}`)
  return client.call('POST', `/v1/grants/${grant}/approve`, { hash: body.hash })
}

import * as v from 'valibot'
import { send } from '../lib/http.ts'
import { ApprovalRequest, ApprovalRequests } from '../protocol/approval.ts'
import { Askable, type AskableQuestion } from '../protocol/askable.ts'
import { AuditPage } from '../protocol/audit.ts'
import { GrantExplanation } from '../protocol/explanation.ts'
import { Grant, Grants, Receipt, Receipts, Withdrawal } from '../protocol/grant.ts'
import type { Schema } from '../protocol/parse.ts'
import { WhoAmI } from '../protocol/principal.ts'
import type { AuthorizationDetails, GrantRequest } from '../protocol/request.ts'
import { RequestExplanation } from '../protocol/request-explanation.ts'
import { type Sandbox, Sandboxes } from '../protocol/sandbox.ts'
import { readAnswer } from './answer.ts'
import type { Authorizer } from './authorizer.ts'

const Revoked = v.union([Receipt, Withdrawal])

/** Whose grants to revoke at once; whose access to end, if not one's own; which copilots to stop. */
type RevokeFilter =
  | { readonly scope: 'mine' | 'all' }
  | { readonly user: string }
  | { readonly agent: string }

/** The broker's plain HTTP, for one session. Every method may throw `JitError` with the broker's own code. */
export interface BrokerClient {
  readonly url: string
  whoami(): Promise<WhoAmI>
  /** Grants that are not over yet, and those that ended lately. */
  grants(scope: 'mine' | 'all'): Promise<readonly Grant[]>
  /** Sandboxes that run: one's own and one's copilots', or all that one may see. */
  sandboxes(scope: 'mine' | 'all'): Promise<readonly Sandbox[]>
  /** @throws JitError `not_found` */
  grant(id: string): Promise<Grants>
  /**
   * Asks ahead: what comes back is `approved` or `pending`. The same key gets the same.
   * @throws JitError `denied`; `insufficient_user_authentication` with the sign-in that is wanted
   */
  request(request: GrantRequest): Promise<Grant>
  /** What may be asked for where one stands, by today's policies. @throws JitError `limit_reached` */
  askable(question: AskableQuestion): Promise<Askable>
  /** What would come of a request: nothing is minted or recorded. @throws JitError `request_invalid`, `limit_reached` */
  foretell(details: AuthorizationDetails): Promise<RequestExplanation>
  /** What waits for whoever asks. */
  approvals(): Promise<ApprovalRequests>
  /** @throws JitError `not_found` */
  approval(id: string): Promise<ApprovalRequest>
  /**
   * @param hash of what was shown
   * @throws JitError `request_changed`, `insufficient_user_authentication`, `denied`, `not_found`, `grant_ended`
   */
  approve(id: string, hash: string): Promise<ApprovalRequest>
  deny(id: string, reason: string): Promise<ApprovalRequest>
  /** Takes note of a grant that broke the glass. */
  acknowledge(id: string): Promise<Grant>
  /** Why policy says what it says of a grant. @throws JitError `not_found` */
  explain(id: string): Promise<GrantExplanation>
  /**
   * Ends a grant; a request that waits is taken back.
   * @throws JitError `not_found`
   */
  revoke(id: string): Promise<Receipt | Withdrawal>
  /**
   * Ends one's own grants; somebody's access, with their sessions; or the sessions of copilots by name.
   * @throws JitError `not_found` for a user or copilot whose access one may not end; `denied` to a copilot
   */
  revokeMany(filter: RevokeFilter): Promise<Receipts>
  /** The entries after `seq`; from the first when absent. */
  audit(after?: number): Promise<AuditPage>
}

/**
 * @param options.broker URL without a trailing slash
 * @param options.during sees each question as long as it takes
 */
export function createBrokerClient(options: {
  broker: string
  authorizer: Authorizer
  signal?: AbortSignal
  during?: (<T>(question: Promise<T>) => Promise<T>) | undefined
}): BrokerClient {
  const { broker, during = (question) => question } = options
  const call = <T>(method: 'GET' | 'POST', path: string, ask: Ask<T>) =>
    during(request({ ...options, method, url: new URL(`${broker}${path}`), ...ask }))
  const at = (id: string) => `/v1/grants/${encodeURIComponent(id)}`
  const waiting = { schema: ApprovalRequest, what: 'request for approval' }
  return {
    url: broker,
    whoami: () => call('GET', '/v1/whoami', { schema: WhoAmI, what: 'answer to whoami' }),
    grants: async (scope) =>
      (await call('GET', `/v1/grants?scope=${scope}`, { schema: Grants, what: 'grants' })).grants,
    sandboxes: async (scope) =>
      (await call('GET', `/v1/sandboxes?scope=${scope}`, { schema: Sandboxes, what: 'sandboxes' }))
        .sandboxes,
    grant: (id) => call('GET', at(id), { schema: Grants, what: 'grant' }),
    request: (json) => call('POST', '/v1/grants', { schema: Grant, what: 'grant', json }),
    askable: (question) =>
      call('GET', `/v1/askable?${askableQuery(question)}`, {
        schema: Askable,
        what: 'what may be asked for',
      }),
    foretell: (details) =>
      call('POST', '/v1/policy/explain', {
        schema: RequestExplanation,
        what: 'explanation',
        json: { details },
      }),
    approvals: () => call('GET', '/v1/approvals', { schema: ApprovalRequests, what: 'approvals' }),
    approval: (id) => call('GET', `/v1/approvals/${encodeURIComponent(id)}`, waiting),
    approve: (id, hash) => call('POST', `${at(id)}/approve`, { ...waiting, json: { hash } }),
    deny: (id, reason) => call('POST', `${at(id)}/deny`, { ...waiting, json: { reason } }),
    acknowledge: (id) => call('POST', `${at(id)}/acknowledge`, { schema: Grant, what: 'grant' }),
    explain: (id) =>
      call('GET', `/v1/policy/explain?grant=${encodeURIComponent(id)}`, {
        schema: GrantExplanation,
        what: 'explanation',
      }),
    revoke: (id) =>
      call('POST', `${at(id)}/revoke`, { schema: Revoked, what: 'receipt', timeout: 30_000 }),
    revokeMany: (json) =>
      call('POST', '/v1/revoke', { schema: Receipts, what: 'receipts', json, timeout: 60_000 }),
    audit: (after) =>
      call('GET', after === undefined ? '/v1/audit' : `/v1/audit?after=${after}`, {
        schema: AuditPage,
        what: 'audit log',
      }),
  }
}

function askableQuery({ repository, branch, commit, environment, all }: AskableQuestion): string {
  return new URLSearchParams({
    ...{ repository, branch, commit },
    ...(environment === undefined ? {} : { environment }),
    ...(all ? { all: 'true' } : {}),
  }).toString()
}

interface Ask<T> {
  readonly schema: Schema<T>
  /** Names the answer in an error. */
  readonly what: string
  readonly json?: unknown
  /** Milliseconds. */
  readonly timeout?: number
}

async function request<T>(
  options: Ask<T> & {
    method: 'GET' | 'POST'
    url: URL
    authorizer: Authorizer
    signal?: AbortSignal
  },
): Promise<T> {
  const { method, url, authorizer, json } = options
  const proof = await authorizer.headers({ method, url })
  const answer = await send({
    method,
    url,
    headers: { ...proof, ...(json === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    ...(options.signal ? { signal: options.signal } : {}),
    ...(options.timeout ? { timeout: options.timeout } : {}),
  })
  return readAnswer(options.schema, answer, options.what)
}

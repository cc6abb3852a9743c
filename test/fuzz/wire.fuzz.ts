import type { GenericSchema } from 'valibot'
import { expect, test } from 'vitest'
import { readAnswer } from '../../src/client/answer.ts'
import { ERROR_CODES } from '../../src/lib/errors.ts'
import { escapeForDisplay } from '../../src/lib/escape.ts'
import { ApprovalRequests, ApproveBody, DenyBody } from '../../src/protocol/approval.ts'
import { AuditPage } from '../../src/protocol/audit.ts'
import { Grants, Receipts } from '../../src/protocol/grant.ts'
import { ClientMessage, ServerMessage } from '../../src/protocol/lifeline.ts'
import { Delegation, ResourceMetadata, TokenResponse } from '../../src/protocol/oauth.ts'
import { parseJson } from '../../src/protocol/parse.ts'
import { WhoAmI } from '../../src/protocol/principal.ts'
import { AUTHORIZATION_TYPE, AuthorizationDetails } from '../../src/protocol/request.ts'
import {
  SandboxClientMessage,
  Sandboxes,
  SandboxServerMessage,
} from '../../src/protocol/sandbox.ts'
import { mutatedJson } from './mutations.ts'
import { holds, SECRET, unlessRefused } from './property.ts'

const AT = '2026-11-22T12:00:00.000Z'
const CLAIMED = {
  repository: 'github.com/acme/shop',
  branch: 'main',
  commit: 'c0ffee',
  dirty: false,
}
const COMMAND = { argv: ['psql', SECRET], directory: '/src', executable: '/usr/bin/psql' }
const PRINCIPAL = { kind: 'human', id: 'idp/1', name: 'dana', groups: ['devs'], account: 'dana' }
const DETAILS = {
  type: AUTHORIZATION_TYPE,
  ...{ environment: 'prod', task: 'deploy', targets: ['shop-db'], ttl: 900, reason: 'r' },
  ...{
    break_glass: false,
    ticket: 'T-1',
    delivery: 'env',
    labels: { model: 'm', gpus: 4, x: true },
  },
  ...{ claimed: CLAIMED, command: COMMAND },
}
const PROBLEM = {
  ...{ type: '/problems/denied', title: 'denied', status: 403, code: 'denied', detail: SECRET },
  ...{ hint: 'h', max_age: 60, acr_values: ['mfa'], policies: ['p'], grant: 'g_1' },
}
const CREDENTIAL = {
  ...{ lease: 'l', target: 'shop-db', type: 'postgres', handle: 'jabc', revocability: 'hard' },
  ...{ expires_at: AT, renewable: true, env: { PGPASSWORD: SECRET }, secrets: [SECRET] },
  upstream: { kind: 'http', url: 'https://api.example.com', token: SECRET },
  unset: ['PGSERVICE'],
}
const RECEIPT = {
  ...{ grant: 'g', state: 'revoked', ended_by: 'exit', ended_at: AT, log: { seq: 1, hash: 'h' } },
  leases: [{ target: 'shop-db', handle: 'j', outcome: 'revoked', revocability: 'hard', at: AT }],
}
const CONTEXT = {
  ...{ repository: '', branch: '', commit: '', claimed: CLAIMED, command: COMMAND },
  ...{ reason: 'r', break_glass: false, ticket: '', labels: { model: 'm' } },
}
const OBLIGATION = {
  sign_in: { max_age: 60, acr_values: [] },
  approvals: [{ group: 'oncall', people: 2 }],
}
const SANDBOX = {
  ...{ id: 's', principal: { ...PRINCIPAL, kind: 'agent', owner: 'idp/1' }, profile: 'claude' },
  ...{ command: COMMAND, started_at: AT, expires_at: AT },
  ...{ domains: ['example.com'], refused: [], grants: ['g'] },
}
const GRANT = {
  ...{ id: 'g', state: 'active', principal: PRINCIPAL, environment: 'prod', tier: 'production' },
  ...{ task: 'deploy', context: CONTEXT, requested_at: AT, expires_at: AT },
  leases: [
    {
      ...{ id: 'l', target: 'shop-db', type: 'postgres', handle: 'j', delivery: 'env' },
      ...{ state: 'active', revocability: 'hard', expires_at: AT },
    },
  ],
}

/** What comes to the broker: what it takes is exactly what was sent, unknown members refused. */
const TO_BROKER: Readonly<Record<string, readonly [GenericSchema, ...unknown[]]>> = {
  'lifeline message': [
    ClientMessage,
    { type: 'request', key: 'k-1', details: DETAILS },
    { type: 'resume', grant: 'g', secret: SECRET, received: true },
    { type: 'redeem', grant: 'g', claimed: CLAIMED, command: COMMAND },
    { type: 'context', grant: 'g', claimed: CLAIMED },
    { type: 'release', grant: 'g', outcome: { code: null, signal: 'SIGTERM' } },
    { type: 'renew', grant: 'g' },
  ],
  'authorization details': [AuthorizationDetails, DETAILS],
  'sandbox message': [
    SandboxClientMessage,
    {
      type: 'open',
      profile: 'claude',
      command: COMMAND,
      domains: ['a.example.com', '*.b.org:443'],
    },
    { type: 'reopen', sandbox: 's' },
    { type: 'refusals', refusals: [{ host: 'x.org', port: 443, count: 3 }] },
  ],
  approval: [ApproveBody, { hash: 'a'.repeat(64) }],
  refusal: [DenyBody, { reason: SECRET }],
  delegation: [
    Delegation,
    { jkt: 'a'.repeat(43), agent: 'claude', ceiling: { tasks: ['plan'] }, expires_in: 60 },
  ],
}

test.each(Object.entries(TO_BROKER))(
  'a %s is taken as it was sent, or refused',
  async (what, [schema, ...samples]) => {
    for (const sample of samples)
      expect(parseJson(schema, JSON.stringify(sample), { what })).toEqual(sample)
    await holds(mutatedJson(...samples), async (text) => {
      const taken = await unlessRefused(['request_invalid'], () =>
        parseJson(schema, text, { what }),
      )
      if (taken === undefined) return
      // Whatever it leaves to its defaults is said the same way again.
      const again = JSON.stringify(taken)
      expect(JSON.stringify(parseJson(schema, again, { what }))).toBe(again)
      expect(taken).toMatchObject(JSON.parse(text))
    })
  },
)

/** What comes from the broker, which may be newer: what isn't known is passed over. */
const FROM_BROKER: Readonly<Record<string, readonly [GenericSchema, ...unknown[]]>> = {
  'lifeline message': [
    ServerMessage,
    {
      ...{ type: 'granted', grant: 'g', resume_secret: SECRET, grace: 10, expires_at: AT },
      credentials: [CREDENTIAL],
    },
    {
      ...{ type: 'pending', grant: 'g', obligation: OBLIGATION },
      ...{ policies: ['p'], lapses_at: AT },
    },
    { type: 'released', grant: 'g', receipt: RECEIPT },
    { type: 'revoked', grant: 'g', ended_by: 'policy', reason: 'r' },
    { type: 'problem', problem: PROBLEM },
  ],
  'sandbox message': [
    SandboxServerMessage,
    { type: 'opened', sandbox: SANDBOX },
    { type: 'ended', reason: 'r' },
  ],
  grants: [Grants, { grants: [GRANT] }],
  receipts: [Receipts, { receipts: [RECEIPT], withdrawn: [], sessions: 1, cut_off: ['idp/1'] }],
  sandboxes: [Sandboxes, { sandboxes: [SANDBOX] }],
  approvals: [ApprovalRequests, { requests: [], unacknowledged: [GRANT] }],
  whoami: [WhoAmI, { principal: PRINCIPAL, broker: 'https://b', session_expires_at: AT }],
  audit: [
    AuditPage,
    {
      entries: [
        { seq: 1, at: AT, event: 'x', principal: PRINCIPAL, prev: '0', hash: 'h', more: SECRET },
      ],
      head: { seq: 1, hash: 'h', signature: 's' },
    },
  ],
  token: [
    TokenResponse,
    {
      access_token: SECRET,
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      ...{ token_type: 'DPoP', expires_in: 900, session_expires_at: AT, principal: PRINCIPAL },
    },
  ],
  metadata: [
    ResourceMetadata,
    {
      ...{ resource: 'https://jit.acme.dev', authorization_servers: ['https://jit.acme.dev'] },
      identity_providers: [
        {
          ...{ issuer: 'https://idp', clients: { human: 'jit' } },
          ...{ verification_hosts: [], scopes: ['openid'] },
        },
      ],
    },
  ],
}

test.each(Object.entries(FROM_BROKER))(
  "the broker's %s is read, or refused",
  async (what, [schema, ...samples]) => {
    const read = (body: string) => readAnswer(schema, { status: 200, headers: {}, body }, what)
    for (const sample of samples) read(JSON.stringify(sample))
    await holds(mutatedJson(...samples), async (body) => {
      const taken = await unlessRefused(['broker_failed'], () => read(body))
      if (taken !== undefined)
        expect(JSON.stringify(read(JSON.stringify(taken)))).toBe(JSON.stringify(taken))
    })
  },
)

test("a broker's refusal is an error with a code that is known and words that can be shown", async () => {
  await holds(mutatedJson(PROBLEM), (body) => {
    for (const status of [400, 401, 403, 404, 429, 500, 302, 0]) {
      try {
        readAnswer(Grants, { status, headers: {}, body }, 'grants')
        expect.unreachable()
      } catch (thrown) {
        const {
          code,
          message,
          hint = '',
        } = thrown as { code: never; message: string; hint?: string }
        expect(ERROR_CODES).toContain(code)
        expect(escapeForDisplay(message + hint)).toBe(message + hint)
      }
    }
  })
})

test('no name that objects have gets into one', async () => {
  const text = JSON.stringify({ ...DETAILS, labels: {} }).replace(
    '"labels":{}',
    '"labels":{"__proto__":{"polluted":1}}',
  )
  await unlessRefused(['request_invalid'], () =>
    parseJson(AuthorizationDetails, text, { what: 'x' }),
  )
  expect(({} as { polluted?: number }).polluted).toBeUndefined()
})

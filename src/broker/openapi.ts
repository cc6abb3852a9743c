import { toJsonSchema } from '@valibot/to-json-schema'
import type { GenericSchema } from 'valibot'
import { ApprovalRequest, ApprovalRequests, ApproveBody, DenyBody } from '../protocol/approval.ts'
import { Askable } from '../protocol/askable.ts'
import { AuditPage } from '../protocol/audit.ts'
import { GrantExplanation } from '../protocol/explanation.ts'
import { Grant, Grants, Receipt, Receipts, Withdrawal } from '../protocol/grant.ts'
import { ClientMessage, ServerMessage } from '../protocol/lifeline.ts'
import { ResourceMetadata, TokenResponse } from '../protocol/oauth.ts'
import { WhoAmI } from '../protocol/principal.ts'
import { PROBLEM_MEDIA_TYPE, Problem } from '../protocol/problem.ts'
import { GrantRequest } from '../protocol/request.ts'
import { ExplainBody, RequestExplanation } from '../protocol/request-explanation.ts'
import { SandboxClientMessage, Sandboxes, SandboxServerMessage } from '../protocol/sandbox.ts'

const SCHEMAS = {
  ApprovalRequest,
  ApprovalRequests,
  ApproveBody,
  Askable,
  AuditPage,
  ClientMessage,
  DenyBody,
  ExplainBody,
  Grant,
  GrantRequest,
  GrantExplanation,
  Grants,
  Problem,
  Receipt,
  Receipts,
  RequestExplanation,
  ResourceMetadata,
  SandboxClientMessage,
  SandboxServerMessage,
  Sandboxes,
  ServerMessage,
  TokenResponse,
  WhoAmI,
  Withdrawal,
} satisfies Record<string, GenericSchema>

type SchemaName = keyof typeof SCHEMAS

const ref = (name: SchemaName) => ({ $ref: `#/components/schemas/${name}` })
const content = (name: SchemaName, type = 'application/json') => ({
  content: { [type]: { schema: ref(name) } },
})
const query = (name: string, description: string) => ({
  name,
  in: 'query',
  description,
  schema: { type: 'string' },
})
const json = (name: SchemaName) => ({ requestBody: content(name) })
const ID = { name: 'id', in: 'path', required: true, schema: { type: 'string' } }

function operation(
  summary: string,
  answer: SchemaName | undefined,
  more: Readonly<Record<string, unknown>> = {},
) {
  return {
    summary,
    responses: {
      200: { description: summary, ...(answer ? content(answer) : {}) },
      default: {
        description: 'RFC 9457 problem details with a stable `code`',
        ...content('Problem', PROBLEM_MEDIA_TYPE),
      },
    },
    ...more,
  }
}

const form = (properties: Readonly<Record<string, unknown>>) => ({
  requestBody: {
    content: {
      'application/x-www-form-urlencoded': { schema: { type: 'object', properties } },
    },
  },
})
const TEXT = { type: 'string' }
const open = { security: [] }

/** The broker's HTTP interface as OpenAPI 3.1, its schemas those that the code parses with. */
export function openApiDocument(url: string) {
  const exchange = {
    ...{ grant_type: TEXT, subject_token: TEXT, subject_token_type: TEXT },
    ...{ agent_name: TEXT, subject_proof: TEXT },
  }
  return {
    openapi: '3.1.0',
    info: { title: 'jit broker', version: '1' },
    servers: [{ url }],
    security: [{ dpop: [] }],
    paths: {
      '/healthz': { get: operation('Whether the process answers', undefined, open) },
      '/readyz': { get: operation('Whether it can do its work', undefined, open) },
      '/metrics': {
        get: operation("Prometheus's text format, where `metrics:` says so", undefined, open),
      },
      '/.well-known/oauth-protected-resource': {
        get: operation('Where to sign in (RFC 9728)', 'ResourceMetadata', open),
      },
      '/.well-known/oauth-authorization-server': {
        get: operation('The token endpoint (RFC 8414)', undefined, open),
      },
      '/jwks': {
        get: operation("Keys of session tokens and of the audit log's head", undefined, open),
      },
      '/grants/.well-known/openid-configuration': {
        get: operation('The issuer of grant tokens', undefined, open),
      },
      '/grants/jwks': { get: operation('Keys of grant tokens', undefined, open) },
      '/oauth/token': {
        post: operation('Identity token in, session token out (RFC 8693)', 'TokenResponse', {
          ...open,
          ...form(exchange),
        }),
      },
      '/ssf/events': {
        post: {
          ...open,
          summary: 'A security event of an identity provider (RFC 8935)',
          requestBody: { content: { 'application/secevent+jwt': { schema: TEXT } } },
          responses: {
            202: { description: 'Taken' },
            400: {
              description: 'Refused (RFC 8935 section 2.4)',
              content: {
                'application/json': {
                  schema: { type: 'object', properties: { err: TEXT, description: TEXT } },
                },
              },
            },
          },
        },
      },
      '/oauth/revoke': {
        post: operation('Ends the session (RFC 7009)', undefined, {
          ...open,
          ...form({ token: TEXT }),
        }),
      },
      '/grants/introspect': {
        post: operation('Whether a grant token counts (RFC 7662)', undefined, {
          security: [{ target: [] }],
          ...form({ token: TEXT }),
        }),
      },
      '/v1/lifeline': {
        get: operation('WebSocket: `ClientMessage` up, `ServerMessage` down', undefined),
      },
      '/v1/sandbox': {
        get: operation(
          'WebSocket of a sandbox: `SandboxClientMessage` up, `SandboxServerMessage` down',
          undefined,
        ),
      },
      '/v1/sandboxes': {
        get: operation('Sandboxes that run', 'Sandboxes', {
          parameters: [query('scope', 'mine or all')],
        }),
      },
      '/v1/whoami': { get: operation('Who I am', 'WhoAmI') },
      '/v1/grants': {
        get: operation('Live grants', 'Grants', { parameters: [query('scope', 'mine or all')] }),
        post: operation('Asks ahead: a request that is used later', 'Grant', json('GrantRequest')),
      },
      '/v1/grants/{id}/approve': {
        post: operation('Says yes to what was shown', 'ApprovalRequest', {
          parameters: [ID],
          ...json('ApproveBody'),
        }),
      },
      '/v1/grants/{id}/deny': {
        post: operation('Says no', 'ApprovalRequest', { parameters: [ID], ...json('DenyBody') }),
      },
      '/v1/grants/{id}/acknowledge': {
        post: operation('Says that an emergency was looked at', 'Grant', { parameters: [ID] }),
      },
      '/v1/approvals': { get: operation('What waits for me', 'ApprovalRequests') },
      '/v1/approvals/{id}': {
        get: operation('A request that waits, whole', 'ApprovalRequest', { parameters: [ID] }),
      },
      '/v1/grants/{id}': { get: operation('One grant', 'Grants', { parameters: [ID] }) },
      '/v1/grants/{id}/revoke': {
        post: operation('Ends a grant', 'Receipt', { parameters: [ID] }),
      },
      '/v1/revoke': {
        post: operation(
          'Ends many grants: `{"scope": "mine"|"all"}`, `{"user"}` or `{"agent"}`',
          'Receipts',
          {
            requestBody: { content: { 'application/json': { schema: { type: 'object' } } } },
          },
        ),
      },
      '/v1/policy/explain': {
        get: operation('Why policy says what it says of a grant', 'GrantExplanation', {
          parameters: [query('grant', 'its id')],
        }),
        post: operation(
          'What would come of a request that nobody makes: nothing is minted or recorded',
          'RequestExplanation',
          json('ExplainBody'),
        ),
      },
      '/v1/askable': {
        get: operation('What I may ask for where I stand', 'Askable', {
          parameters: [
            query('repository', 'as claimed, `host/owner/name`'),
            query('branch', 'as claimed'),
            query('commit', 'as claimed'),
            query('environment', 'only this one'),
            query('all', '`true`: with what would be denied'),
          ],
        }),
      },
      '/v1/audit': {
        get: operation('The audit log, a page at a time', 'AuditPage', {
          parameters: [query('after', 'sequence number to go on after')],
        }),
      },
    },
    components: {
      securitySchemes: {
        dpop: { type: 'http', scheme: 'dpop', description: 'RFC 9449' },
        target: { type: 'http', scheme: 'basic' },
      },
      schemas: Object.fromEntries(
        Object.entries(SCHEMAS).map(([name, schema]) => [
          name,
          toJsonSchema(schema, { errorMode: 'ignore', target: 'draft-2020-12' }),
        ]),
      ),
    },
  }
}

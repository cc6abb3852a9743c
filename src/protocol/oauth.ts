import * as v from 'valibot'
import { AgentName, Ceiling, Principal } from './principal.ts'
import { Seconds, Timestamp } from './values.ts'

/** RFC 8693 names. */
export const TOKEN_EXCHANGE_GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const ID_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:id_token'
export const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'

export const RESOURCE_METADATA_PATH = '/.well-known/oauth-protected-resource'
export const SERVER_METADATA_PATH = '/.well-known/oauth-authorization-server'

/** RFC 9728 protected resource metadata, with where its users sign in. */
export const ResourceMetadata = v.object({
  resource: v.pipe(v.string(), v.url()),
  authorization_servers: v.array(v.pipe(v.string(), v.url())),
  identity_providers: v.array(
    v.object({
      issuer: v.pipe(v.string(), v.url()),
      /** Client ids by what they sign in. */
      clients: v.object({ human: v.exactOptional(v.string()), agent: v.exactOptional(v.string()) }),
      /** Hosts beside the issuer's own that its verification page may be on. */
      verification_hosts: v.array(v.string()),
      scopes: v.array(v.string()),
      /** Of an issuer of pipelines' tokens: what these must be made for. */
      audience: v.exactOptional(v.string()),
    }),
  ),
})
export type ResourceMetadata = v.InferOutput<typeof ResourceMetadata>

/** RFC 8693 token response, with the session it opened or renewed. */
export const TokenResponse = v.object({
  access_token: v.string(),
  issued_token_type: v.literal(ACCESS_TOKEN_TYPE),
  token_type: v.literal('DPoP'),
  expires_in: v.number(),
  session_expires_at: Timestamp,
  principal: Principal,
})
export type TokenResponse = v.InferOutput<typeof TokenResponse>

/**
 * The claim `delegation` of the proof by which a person hands a session of their own on: signed with
 * the key of that session, it holds for one new key alone.
 */
export const Delegation = v.strictObject({
  /** RFC 7638 thumbprint of the new session's key. */
  jkt: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{43}$/, 'expected a SHA-256 in base64url')),
  agent: AgentName,
  ceiling: v.optional(Ceiling, {}),
  /** How long it is to last at most. */
  expires_in: v.exactOptional(Seconds),
})
export type Delegation = v.InferOutput<typeof Delegation>

/** RFC 6749 section 5.2. */
export const OAuthError = v.object({
  error: v.string(),
  error_description: v.exactOptional(v.string()),
})
export type OAuthError = v.InferOutput<typeof OAuthError>

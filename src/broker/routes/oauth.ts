import * as v from 'valibot'
import { toTimestamp } from '../../lib/clock.ts'
import { JitError } from '../../lib/errors.ts'
import { newId } from '../../lib/handle.ts'
import {
  ACCESS_TOKEN_TYPE,
  ID_TOKEN_TYPE,
  RESOURCE_METADATA_PATH,
  type ResourceMetadata,
  SERVER_METADATA_PATH,
  TOKEN_EXCHANGE_GRANT,
  type TokenResponse,
} from '../../protocol/oauth.ts'
import { parse } from '../../protocol/parse.ts'
import { AgentName } from '../../protocol/principal.ts'
import type { App, AppParts } from '../app.ts'
import { authenticate, verifyRequestProof } from '../authenticate.ts'
import { delegate, renewDelegated } from '../delegation.ts'
import { PROOF_ALGORITHMS } from '../dpop.ts'
import { readForm } from '../form.ts'
import type { Session } from '../sessions.ts'

const TokenRequest = v.object({
  grant_type: v.literal(TOKEN_EXCHANGE_GRANT, `expected '${TOKEN_EXCHANGE_GRANT}'`),
  subject_token: v.string('expected a token'),
  subject_token_type: v.picklist(
    [ID_TOKEN_TYPE, ACCESS_TOKEN_TYPE],
    'expected an id_token or an access_token',
  ),
  /** With an agent's identity token: what it is called. */
  agent_name: v.exactOptional(AgentName),
  /** With a person's access token: the person's proof that delegates to the key of the `DPoP` header. */
  subject_proof: v.exactOptional(v.string('expected a proof')),
})
type TokenRequest = v.InferOutput<typeof TokenRequest>

const RevocationRequest = v.object({ token: v.string('expected a token') })

/** Where clients find everything, and the exchange of identity tokens for sessions. */
export function oauthRoutes(app: App, parts: AppParts): void {
  const { config, identity, sessions, keys, grants, sandboxes } = parts
  const { url } = config

  app.get(RESOURCE_METADATA_PATH, (c) => {
    const metadata: ResourceMetadata = {
      resource: url,
      authorization_servers: [url],
      identity_providers: identity.metadata(),
    }
    return c.json({
      ...metadata,
      bearer_methods_supported: [],
      dpop_bound_access_tokens_required: true,
      dpop_signing_alg_values_supported: [...PROOF_ALGORITHMS],
    })
  })

  // RFC 8414.
  app.get(SERVER_METADATA_PATH, (c) =>
    c.json({
      issuer: url,
      token_endpoint: `${url}/oauth/token`,
      revocation_endpoint: `${url}/oauth/revoke`,
      jwks_uri: `${url}/jwks`,
      grant_types_supported: [TOKEN_EXCHANGE_GRANT],
      response_types_supported: [],
      token_endpoint_auth_methods_supported: ['none'],
      dpop_signing_alg_values_supported: [...PROOF_ALGORITHMS],
      // RFC 9470 section 6: what a step-up may ask for.
      ...(config.acr.length > 0 ? { acr_values_supported: config.acr } : {}),
    }),
  )

  app.get('/jwks', (c) =>
    c.json({ keys: [...keys.published('session'), ...keys.publishedForAudit()] }),
  )

  app.post('/oauth/token', async (c) => {
    const form = parse(TokenRequest, await readForm(c), { what: 'token request' })
    const session = await sessionFor(form, { proof: c.req.header('DPoP'), parts })
    c.get('arrival').was(session.principal)
    return c.json(await tokenOf(session, parts))
  })

  // A token that is of no use any more is as good as revoked (RFC 7009 section 2.2).
  app.post('/oauth/revoke', async (c) => {
    const { method, path } = c.req
    const form = parse(RevocationRequest, await readForm(c), { what: 'revocation request' })
    const authorization = `DPoP ${form.token}`
    try {
      const sender = { method, path, authorization, proof: c.req.header('DPoP') }
      const session = await authenticate(sender, parts)
      c.get('arrival').of(session.principal)
      await sessions.end(session.sid, 'logout')
      await sandboxes.settle()
      await grants.ender.endWithSessions()
    } catch (thrown) {
      const { code } = JitError.from(thrown)
      if (code !== 'session_ended' && code !== 'token_invalid') throw thrown
    }
    return c.body(null, 200)
  })
}

/** The session that a token exchange opens or renews. */
async function sessionFor(
  form: TokenRequest,
  { proof, parts }: { proof: string | undefined; parts: AppParts },
): Promise<Session> {
  const { subject_token: subjectToken, subject_proof: subjectProof } = form
  if (form.subject_token_type === ID_TOKEN_TYPE) {
    const own = await verifyRequestProof({ method: 'POST', path: '/oauth/token', proof }, parts)
    const identity = await parts.identity.verifyIdToken(subjectToken)
    return parts.sessions.exchange(identity, own, form.agent_name)
  }
  if (subjectProof === undefined) return renewDelegated({ subjectToken, proof }, parts)
  return delegate({ subjectToken, subjectProof, proof }, parts)
}

async function tokenOf(session: Session, parts: AppParts): Promise<TokenResponse> {
  const { principal, sid, clientId, jkt } = session
  const { config, store, accessTokens } = parts
  const now = store.now()
  const issuedAt = Math.floor(now / 1000)
  const until = Math.min(issuedAt + config.session.tokenTtl, Math.floor(session.expiresAt / 1000))
  const who =
    principal.kind === 'agent' && principal.owner !== undefined
      ? { subject: principal.owner, actor: principal.id }
      : { subject: principal.id }
  return {
    access_token: await accessTokens.issue({
      ...who,
      session: sid,
      clientId,
      jkt,
      id: newId(now),
      issuedAt,
      expiresAt: until,
    }),
    issued_token_type: ACCESS_TOKEN_TYPE,
    token_type: 'DPoP',
    expires_in: until - issuedAt,
    session_expires_at: toTimestamp(session.expiresAt),
    principal,
  }
}

import { errors, jwtVerify } from 'jose'
import * as v from 'valibot'
import { JitError } from '../../lib/errors.ts'
import { parse } from '../../protocol/parse.ts'
import type { App, AppParts } from '../app.ts'
import type { Fleet } from '../fleet.ts'
import { readForm } from '../form.ts'
import { GRANT_TOKEN_TYPE } from '../grant-tokens.ts'
import { verifyingWith } from '../key-ring.ts'

const Introspection = v.object({ token: v.pipe(v.string(), v.maxLength(8192)) })

/** The API that asks, by HTTP Basic: the target's name and its introspection secret. */
function introspector(header: string | undefined, fleet: Fleet) {
  const [scheme, encoded = ''] = header?.split(' ') ?? []
  const [name = '', ...secret] = Buffer.from(encoded, 'base64').toString('utf8').split(':')
  const introspection = fleet.get(name)?.target.introspection
  if (scheme?.toLowerCase() === 'basic' && introspection?.accepts(secret.join(':'))) {
    return introspection
  }
  throw new JitError('not_signed_in', "expected HTTP Basic with the target's name and its secret")
}

/** The issuer of grant tokens: its own discovery document and keys, and introspection (RFC 7662). */
export function grantTokenRoutes(app: App, parts: AppParts): void {
  const { config, keys, ledger, fleet, store, grants } = parts
  const issuer = config.grantsIssuer
  const own = keys.of('grant')

  app.get('/grants/.well-known/openid-configuration', (c) =>
    c.json({
      issuer,
      jwks_uri: `${issuer}/jwks`,
      introspection_endpoint: `${config.url}/grants/introspect`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: [own.algorithm],
      claims_supported: ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'grant', 'principal', 'scope'],
    }),
  )

  app.get('/grants/jwks', (c) => c.json({ keys: keys.published('grant') }))

  app.post('/grants/introspect', async (c) => {
    const { audience } = introspector(c.req.header('Authorization'), fleet)
    c.get('arrival').trusted()
    const form = parse(Introspection, await readForm(c), { what: 'introspection request' })
    c.header('Cache-Control', 'no-store')
    try {
      const { payload } = await jwtVerify(form.token, verifyingWith(own), {
        issuer,
        audience,
        typ: GRANT_TOKEN_TYPE,
        algorithms: [own.algorithm],
        currentDate: new Date(store.now()),
      })
      const ended = grants.ender.hasEnded(String(payload.grant))
      if (ended || !(await ledger.read.isActive(payload.jti ?? '')))
        return c.json({ active: false })
      return c.json({ active: true, token_type: 'Bearer', ...payload })
    } catch (thrown) {
      if (thrown instanceof errors.JOSEError) return c.json({ active: false })
      throw thrown
    }
  })
}

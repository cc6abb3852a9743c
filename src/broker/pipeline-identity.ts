import type { JWTPayload } from 'jose'
import { escapeForDisplay } from '../lib/escape.ts'
import type { ClaimRule, PipelineConfig, PipelineRule } from './config/config.ts'
import { issuerKey } from './config/values.ts'
import type { Provider, ProviderParts } from './identity.ts'
import { encodeSubject } from './identity-claims.ts'
import { hashOf, invalid, verifyToken } from './identity-token.ts'
import { createKeyset } from './keyset.ts'
import { readPipelineClaims } from './pipeline-claims.ts'

/** What GitHub runs for a change from outside, with the rights of the branch it is aimed at. */
const RISKY_EVENT = 'pull_request_target'

/** An issuer of pipelines' tokens. */
export function pipelineProvider(
  config: PipelineConfig,
  { clock, fetch }: ProviderParts,
): Provider {
  const { issuer, type, audience, jwksUri } = config
  const location = jwksUri === undefined ? {} : { location: jwksUri }
  const keys = createKeyset({ issuer, fetch, clock, ...location })
  return {
    issuer,
    verify: async (token) => {
      const payload = await verify(token, { config, keys, now: clock.now() })
      const read = readPipelineClaims(payload, type)
      const rule = matchingRule(payload, { read, config })
      return {
        id: `${issuerKey(issuer)}/${encodeSubject(read.id)}`,
        subject: payload.sub ?? '',
        name: escapeForDisplay(read.name).slice(0, 256),
        groups: [...rule.groups]
          .filter(([, claims]) => meets(payload, claims))
          .map(([name]) => name),
        issuedAt: payload.iat ?? 0,
        expiresAt: payload.exp ?? 0,
        kind: 'pipeline',
        issuer,
        clientId: type,
        tokenHash: hashOf(token),
        // GitHub gives a job as many as it asks for; the others give one for the whole job.
        uses: type === 'github' ? 'once' : 'one-at-a-time',
        signed: { repository: rule.repository, branch: read.branch, commit: read.commit },
        ...(read.triggeredBy === undefined ? {} : { triggeredBy: read.triggeredBy }),
      }
    },
    describe: () => ({ issuer, clients: {}, scopes: [], verification_hosts: [], audience }),
  }
}

async function verify(
  token: string,
  parts: { config: PipelineConfig; keys: Parameters<typeof verifyToken>[1]['keys']; now: number },
): Promise<JWTPayload> {
  const { issuer, type, audience, tokenAge } = parts.config
  const payload = await verifyToken(token, {
    ...(type === 'spiffe' ? {} : { issuer }),
    ...{ keys: parts.keys, now: parts.now, maxAge: tokenAge },
    audience: [audience],
    // Whoever sets up the job has to be told what to ask its issuer for; it is no secret.
    foreign: {
      problem: 'made for another audience',
      hint: `this broker takes those made for ${audience}: set JIT_AUDIENCE to it`,
    },
    // JWT-SVID section 2.3.
    types: type === 'spiffe' ? ['jwt', 'jose'] : ['jwt'],
  })
  // Whoever else it was made for could hand it on to this broker.
  if (Array.isArray(payload.aud) && payload.aud.length !== 1) {
    throw invalid('made for several audiences')
  }
  return payload
}

type Read = ReturnType<typeof readPipelineClaims>

/** What isn't listed is refused; a name that now belongs to something else as well. */
function matchingRule(
  payload: JWTPayload,
  { read, config }: { read: Read; config: PipelineConfig },
): PipelineRule {
  const rule = config.rules.get(read.match)
  if (!rule) throw invalid('of a repository or subject that is not listed here')
  const same =
    (rule.id === undefined || rule.id === read.matchId) &&
    (rule.ownerId === undefined || rule.ownerId === read.matchOwnerId)
  if (!same) throw invalid('listed here by this name, but with another id')
  if (!meets(payload, rule.claims)) throw invalid('without the claims that are asked for here')
  const asked = rule.claims.has('event_name')
  if (config.type === 'github' && payload.event_name === RISKY_EVENT && !asked) {
    throw invalid(`of a ${RISKY_EVENT} event, which is not listed here`)
  }
  return rule
}

function meets(payload: JWTPayload, rule: ClaimRule): boolean {
  return [...rule].every(([claim, values]) => {
    const value = Object.hasOwn(payload, claim) ? payload[claim] : undefined
    const known = ['string', 'number', 'boolean'].includes(typeof value)
    return known && values.includes(String(value))
  })
}

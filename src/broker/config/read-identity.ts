import { resolve } from 'node:path'
import type { ConfigDocument, Mistake } from '../../lib/document.ts'
import { refuse, validateDocument } from '../../lib/document-schema.ts'
import { withoutTrailing } from '../../lib/without-trailing.ts'
import type {
  ClaimRule,
  IdentityConfig,
  PipelineConfig,
  PipelineRule,
  PipelineType,
} from './config.ts'
import { PeopleFile, PIPELINE_TYPES, PipelineFile } from './identity.ts'
import type { BrokerFile } from './schema.ts'
import { isSecure } from './values.ts'

const MINUTE = 60
/** Seconds: what tokens live that are made for one use, and those that lie in a file or a variable. */
const TOKEN_AGE = {
  github: 5 * MINUTE,
  gitlab: 60 * MINUTE,
  spiffe: 60 * MINUTE,
  kubernetes: 60 * MINUTE,
}
const MAX_TOKEN_AGE = 24 * 60 * MINUTE

/** The providers of `identity:`: people's, and the issuers of pipelines' tokens. */
export function readIdentity(
  document: ConfigDocument,
  { file, directory }: { file: BrokerFile; directory: string },
): { identity: IdentityConfig[]; pipelines: PipelineConfig[] } {
  const identity: IdentityConfig[] = []
  const pipelines: PipelineConfig[] = []
  for (const [index, input] of file.identity.entries()) {
    const under = ['identity', index]
    if (input.kind === 'people') {
      identity.push(people(validateDocument(document, PeopleFile, { input, under })))
      continue
    }
    const written = validateDocument(document, PipelineFile, { input, under })
    const type = written.type ?? typeOf(written.issuer)
    const mistakes = [...checkPipeline(written, { type, file })]
    refuse(
      document,
      mistakes.map((mistake) => ({ ...mistake, path: [...under, ...mistake.path] })),
    )
    if (type) pipelines.push(pipeline(written, { type, url: file.url, directory }))
  }
  return { identity, pipelines }
}

function people(written: PeopleFile): IdentityConfig {
  const { issuer, clients, groups, scopes, account } = written
  return {
    issuer,
    clients: new Map(Object.entries(clients)),
    groupsClaim: groups,
    scopes,
    verificationHosts: written.verification_hosts,
    ...(account === undefined ? {} : { accountClaim: account }),
  }
}

/** What the well-known issuers are; of any other it has to be said. */
function typeOf(issuer: string): PipelineType | undefined {
  const { protocol, host } = new URL(issuer)
  if (protocol === 'spiffe:') return 'spiffe'
  if (host === 'token.actions.githubusercontent.com') return 'github'
  return host === 'gitlab.com' ? 'gitlab' : undefined
}

function* checkPipeline(
  written: PipelineFile,
  { type, file }: { type: PipelineType | undefined; file: BrokerFile },
): Generator<Mistake> {
  if (!type) {
    const message = `expected a value: ${PIPELINE_TYPES.join(', ')}`
    return yield { path: ['type'], message }
  }
  const { issuer, jwks_uri, token_age = 0 } = written
  const isTrustDomain = issuer.startsWith('spiffe:')
  if ((type === 'spiffe') !== isTrustDomain)
    yield {
      path: ['issuer'],
      message: 'expected spiffe://TRUST-DOMAIN for spiffe, and for no other',
    }
  if (isTrustDomain && jwks_uri === undefined)
    yield {
      path: ['jwks_uri'],
      message: 'expected a value: a trust domain has no discovery document',
    }
  const plain = jwks_uri && !jwks_uri.startsWith('file:') && !isSecure(jwks_uri)
  if (plain && !file.dangerously_allow_plain_http)
    yield { path: ['jwks_uri'], message: 'expected https, or http on loopback' }
  if (token_age > MAX_TOKEN_AGE) yield { path: ['token_age'], message: 'expected at most 24h' }
  yield* checkRules(written, { type, groups: file.groups })
}

function* checkRules(
  written: PipelineFile,
  { type, groups }: { type: PipelineType; groups: readonly string[] },
): Generator<Mistake> {
  const byRepository = type === 'github' || type === 'gitlab'
  const [here, other] = byRepository
    ? (['repositories', 'subjects'] as const)
    : (['subjects', 'repositories'] as const)
  if (Object.keys(written[here]).length === 0)
    yield { path: [here], message: 'expected at least one: what is not listed is refused' }
  if (Object.keys(written[other]).length > 0)
    yield { path: [other], message: `expected ${here}: tokens of ${type} are matched by these` }
  const seen = new Set<string>()
  const domain = type === 'spiffe' ? `${written.issuer}/` : ''
  for (const [name, rule] of Object.entries(written[here])) {
    // Its keys vouch for its own domain alone, and ids leave the domain of a subject out.
    if (!name.startsWith(domain)) yield { path: [here, name], message: `expected ${domain}PATH` }
    const inTokens = byRepository ? pathOf(name) : name
    if (seen.has(inTokens))
      yield { path: [here, name], message: 'expected each once, whatever its host' }
    seen.add(inTokens)
    const unknown = Object.keys(rule.groups).find((group) => !groups.includes(group))
    if (unknown !== undefined)
      yield { path: [here, name, 'groups', unknown], message: 'not declared under groups' }
  }
}

const pathOf = (repository: string) => repository.slice(repository.indexOf('/') + 1)

function pipeline(
  written: PipelineFile,
  { type, url, directory }: { type: PipelineType; url: string; directory: string },
): PipelineConfig {
  const { issuer, jwks_uri, audience = withoutTrailing(url, '/') } = written
  const repositories = Object.entries(written.repositories).map(([repository, rule]) => {
    const { id, owner_id: ownerId } = rule
    return [pathOf(repository), { repository, id, ownerId, ...ruleOf(rule) }] as const
  })
  const subjects = Object.entries(written.subjects).map(([subject, rule]) => {
    const id = rule.uid === undefined ? {} : { id: rule.uid }
    return [subject, { repository: '', ...id, ...ruleOf(rule) }] as const
  })
  const file = jwks_uri?.startsWith('file:') ? jwks_uri.slice('file:'.length) : undefined
  const keys = file === undefined ? jwks_uri : `file:${resolve(directory, file)}`
  return {
    issuer,
    type,
    audience,
    tokenAge: written.token_age ?? TOKEN_AGE[type],
    ...(keys === undefined ? {} : { jwksUri: keys }),
    rules: new Map<string, PipelineRule>([...repositories, ...subjects]),
  }
}

type Written = Readonly<Record<string, readonly string[]>>

function ruleOf(rule: { claims: Written; groups: Readonly<Record<string, Written>> }) {
  const claims = (written: Written): ClaimRule => new Map(Object.entries(written))
  const groups = Object.entries(rule.groups).map(
    ([name, written]) => [name, claims(written)] as const,
  )
  return { claims: claims(rule.claims), groups: new Map(groups) }
}

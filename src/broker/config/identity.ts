import * as v from 'valibot'
import { Duration, list, map, mapOf, Text } from '../../lib/document-schema.ts'
import { Name } from '../../protocol/values.ts'
import { Host, isPlainUrl, ServiceUrl } from './values.ts'

/** `spiffe://` and a trust domain: what stands for an issuer where tokens name none. */
const TRUST_DOMAIN = /^spiffe:\/\/[a-z0-9._-]{1,255}$/

const ISSUER = 'expected an http(s) URL without user, query or fragment, or spiffe://TRUST-DOMAIN'

/** Keys that every provider of identities has; the rest is for people's, or for pipelines'. */
export const IDENTITY_KEYS = {
  issuer: v.pipe(
    v.string(ISSUER),
    v.maxLength(1024, ISSUER),
    v.check((text) => TRUST_DOMAIN.test(text) || isPlainUrl(text), ISSUER),
  ),
  kind: v.optional(v.picklist(['people', 'pipeline'], "expected 'people' or 'pipeline'"), 'people'),
}

const Kind = v.picklist(['human', 'agent'], "expected 'human' or 'agent'")

/** A provider that people sign in at, as written; agents too, through a client of their own. */
export const PeopleFile = map({
  issuer: ServiceUrl,
  kind: v.optional(v.literal('people'), 'people'),
  clients: v.pipe(
    mapOf(Text, Kind),
    v.check((clients) => Object.keys(clients).length > 0, 'expected at least one client id'),
  ),
  groups: v.optional(Text, 'groups'),
  account: v.optional(Text),
  scopes: v.optional(list(Text), ['openid', 'profile', 'email', 'offline_access']),
  verification_hosts: v.optional(list(Host), []),
})
export type PeopleFile = v.InferOutput<typeof PeopleFile>

const ID = 'expected a number: the id that the forge gives it, not its name'

/** Ids are numbers that tokens carry as text. */
const Id = v.pipe(
  v.union([v.pipe(v.number(ID), v.safeInteger(ID), v.minValue(1, ID)), v.string(ID)], ID),
  v.transform(String),
  v.regex(/^[0-9]{1,20}$/, ID),
)

/** Claims, each with the one value or the several that will do. */
const Claims = mapOf(
  Text,
  v.pipe(
    v.union([Text, v.pipe(list(Text), v.minLength(1))], 'expected a text, or a list of texts'),
    v.transform((values) => (Array.isArray(values) ? values : [values])),
  ),
)

const OF_EACH = {
  claims: v.optional(Claims, {}),
  groups: v.optional(mapOf(Name, Claims), {}),
}

const REPOSITORY = 'expected HOST/OWNER/NAME, such as github.com/acme/shop'

const Repository = v.pipe(
  v.string(REPOSITORY),
  v.maxLength(512, REPOSITORY),
  v.regex(/^[a-z0-9.-]+(?::[0-9]{1,5})?(?:\/[A-Za-z0-9._-]+){2,}$/, REPOSITORY),
)

export const PIPELINE_TYPES = ['github', 'gitlab', 'spiffe', 'kubernetes'] as const

const KEYS = 'expected an http(s) URL, or file:PATH'

/** An issuer of pipelines' tokens, as written. */
export const PipelineFile = map({
  issuer: IDENTITY_KEYS.issuer,
  kind: v.literal('pipeline'),
  type: v.optional(v.picklist(PIPELINE_TYPES, `expected ${PIPELINE_TYPES.join(', ')}`)),
  audience: v.optional(Text),
  jwks_uri: v.optional(
    v.pipe(
      v.string(KEYS),
      v.check((text) => /^file:.{1,1024}$/.test(text) || isPlainUrl(text), KEYS),
    ),
  ),
  token_age: v.optional(Duration),
  repositories: v.optional(mapOf(Repository, map({ id: Id, owner_id: Id, ...OF_EACH })), {}),
  subjects: v.optional(mapOf(Text, map({ uid: v.optional(Text), ...OF_EACH })), {}),
})
export type PipelineFile = v.InferOutput<typeof PipelineFile>

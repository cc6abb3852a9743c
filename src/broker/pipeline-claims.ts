import type { JWTPayload } from 'jose'
import * as v from 'valibot'
import { parse, type Schema } from '../protocol/parse.ts'
import { whole } from '../protocol/values.ts'
import type { PipelineType } from './config/config.ts'

/** What a pipeline's token says, whatever its kind. */
export interface PipelineClaims {
  /** What it is listed by: `acme/shop`, or the subject. */
  readonly match: string
  /** Ids that its issuer gives to nothing else. */
  readonly matchId?: string
  readonly matchOwnerId?: string
  /** Stable, unique at its issuer. */
  readonly id: string
  /** For people to read. */
  readonly name: string
  /** Short name, `""` unless it runs on a branch. */
  readonly branch: string
  /** Object id in hex, `""` unknown. */
  readonly commit: string
  readonly triggeredBy?: string
}

const text = (max: number) =>
  v.pipe(v.string('expected text'), v.maxLength(max, `expected at most ${max} characters`), whole)
const Path = v.pipe(
  text(500),
  v.regex(/^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)+$/, 'expected a path'),
)
const Id = v.pipe(
  v.union([v.string('expected an id'), v.pipe(v.number(), v.safeInteger())], 'expected an id'),
  v.transform(String),
  v.regex(/^[0-9]{1,20}$/, 'expected an id'),
)
const Commit = v.pipe(text(64), v.regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/, 'expected a commit'))
const Login = text(256)

const GitHub = v.object({
  repository: Path,
  repository_id: Id,
  repository_owner_id: Id,
  ref: v.optional(text(1024), ''),
  ref_type: v.optional(text(64), ''),
  sha: v.exactOptional(Commit),
  actor: v.exactOptional(Login),
  workflow_ref: v.optional(text(2048), ''),
  job_workflow_ref: v.optional(text(2048), ''),
})

/** docs.github.com, "OpenID Connect reference". */
function github(payload: JWTPayload): PipelineClaims {
  const claims = read(GitHub, payload)
  const { repository, repository_id, ref, ref_type, actor } = claims
  const workflow = /([^/@]+)@/.exec(claims.workflow_ref || claims.job_workflow_ref)?.[1]
  return {
    match: repository,
    matchId: repository_id,
    matchOwnerId: claims.repository_owner_id,
    id: `repository_id:${repository_id}`,
    name: workflow ? `${repository} · ${workflow}` : repository,
    // A pull request's `refs/pull/1/merge` says that it is a branch, too.
    branch: ref_type === 'tag' ? '' : branchOf(ref),
    commit: claims.sha ?? '',
    ...(actor === undefined ? {} : { triggeredBy: actor }),
  }
}

const GitLab = v.object({
  project_path: Path,
  project_id: Id,
  namespace_id: Id,
  ref_path: v.optional(text(1024), ''),
  ref_type: v.optional(text(64), ''),
  sha: v.exactOptional(Commit),
  user_login: v.exactOptional(Login),
  pipeline_id: v.exactOptional(Id),
})

/** docs.gitlab.com, "OpenID Connect authentication using ID tokens". */
function gitlab(payload: JWTPayload): PipelineClaims {
  const claims = read(GitLab, payload)
  const { project_path, project_id, pipeline_id, user_login } = claims
  return {
    match: project_path,
    matchId: project_id,
    matchOwnerId: claims.namespace_id,
    id: `project_id:${project_id}`,
    name: pipeline_id === undefined ? project_path : `${project_path} · pipeline ${pipeline_id}`,
    // `ref` alone won't do: of a merge request from a fork it is the fork's own branch.
    branch: claims.ref_type === 'tag' ? '' : branchOf(claims.ref_path),
    commit: claims.sha ?? '',
    ...(user_login === undefined ? {} : { triggeredBy: user_login }),
  }
}

const SPIFFE_ID = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/[A-Za-z0-9._-]+)+$/

/** SPIFFE-ID section 2, JWT-SVID section 3. */
function spiffe(payload: JWTPayload): PipelineClaims {
  const { sub } = read(
    v.object({ sub: v.pipe(text(2048), v.regex(SPIFFE_ID, 'expected a SPIFFE ID')) }),
    payload,
  )
  const path = sub.slice('spiffe://'.length).replace(/^[^/]+\//, '')
  return { match: sub, id: path, name: sub, branch: '', commit: '' }
}

const SERVICE_ACCOUNT = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/

const Kubernetes = v.object({
  sub: v.pipe(text(512), v.regex(SERVICE_ACCOUNT, 'expected a service account')),
  'kubernetes.io': v.optional(
    v.object({ serviceaccount: v.optional(v.object({ uid: v.optional(text(64)) })) }),
  ),
})

/** kubernetes.io, "Managing service accounts": bound service account tokens. */
function kubernetes(payload: JWTPayload): PipelineClaims {
  const claims = read(Kubernetes, payload)
  const [, namespace, account] = SERVICE_ACCOUNT.exec(claims.sub) ?? []
  const uid = claims['kubernetes.io']?.serviceaccount?.uid
  return {
    match: claims.sub,
    ...(uid === undefined ? {} : { matchId: uid }),
    id: claims.sub,
    name: `${namespace}/${account}`,
    branch: '',
    commit: '',
  }
}

const READERS: Readonly<Record<PipelineType, (payload: JWTPayload) => PipelineClaims>> = {
  github,
  gitlab,
  spiffe,
  kubernetes,
}

/**
 * The claims of a verified payload.
 * @throws JitError `token_invalid`: a claim that is missing, or not what it should be
 */
export function readPipelineClaims(payload: JWTPayload, type: PipelineType): PipelineClaims {
  return READERS[type](payload)
}

function read<T>(schema: Schema<T>, payload: JWTPayload): T {
  return parse(schema, payload, { what: 'identity token', code: 'token_invalid' })
}

function branchOf(ref: string): string {
  const branch = ref.startsWith('refs/heads/') ? ref.slice('refs/heads/'.length) : ''
  return branch.length <= 512 ? branch : ''
}

import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import { isPrivateTransport } from '../lib/address.ts'
import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import { send } from '../lib/http.ts'
import { parseJson } from '../protocol/parse.ts'
import type { WorkloadSource } from './workload-source.ts'

type Environment = Readonly<Record<string, string | undefined>>

interface Asked {
  readonly env: Environment
  /** What the token is to be made for. */
  readonly audience: string
  readonly signal?: AbortSignal | undefined
}

const MAX_LENGTH = 32 * 1024

/**
 * A job's identity token.
 * @returns the token and its issuer, `""` where it names none
 * @throws JitError `not_signed_in` where there is none, `sign_in_failed` for one that is made for
 *   anybody else (it is shown to nobody then), `issuer_unreachable`
 */
export async function workloadToken(
  source: WorkloadSource,
  asked: Asked,
): Promise<{ token: string; issuer: string }> {
  const token = (await read(source, asked)).trim()
  const { iss = '', aud } = payloadOf(token, placeOf(source))
  const audiences = typeof aud === 'string' ? [aud] : aud
  if (audiences.length === 1 && audiences[0] === asked.audience) return { token, issuer: iss }
  const made = escapeForDisplay(audiences.join(', '))
  throw new JitError(
    'sign_in_failed',
    `${placeOf(source)} is made for '${made}', not for '${asked.audience}'`,
    { hint: `have it made for ${asked.audience}; JIT_AUDIENCE names another audience` },
  )
}

function read(source: WorkloadSource, asked: Asked): Promise<string> {
  if (source.kind === 'github') return fromGitHub(asked)
  if (source.kind === 'file') return fromFile(source.path)
  const value = asked.env[source.name]
  if (value) return Promise.resolve(value)
  throw new JitError('not_signed_in', `${source.name} holds no identity token`, {
    hint: `in .gitlab-ci.yml: id_tokens: { ${source.name}: { aud: ${asked.audience} } }`,
  })
}

async function fromFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new JitError('not_signed_in', `${path} can't be read (${code})`, {
      hint: "mount the job's identity token there, or name another place: JIT_WORKLOAD=file:PATH",
      cause,
    })
  }
}

const GitHubAnswer = v.object({ value: v.string() })

/** docs.github.com, "OpenID Connect reference": requesting the JWT using environment variables. */
async function fromGitHub({ env, audience, signal }: Asked): Promise<string> {
  const { ACTIONS_ID_TOKEN_REQUEST_URL: address, ACTIONS_ID_TOKEN_REQUEST_TOKEN: bearer } = env
  const url = address ? URL.parse(address) : null
  if (!url || !bearer) {
    throw new JitError('not_signed_in', 'GitHub gives this job no identity token', {
      hint: "the job needs 'permissions: { id-token: write }'",
    })
  }
  if (!isPrivateTransport(url)) {
    throw new JitError('sign_in_failed', 'ACTIONS_ID_TOKEN_REQUEST_URL is not https')
  }
  url.searchParams.set('audience', audience)
  const headers = { authorization: `Bearer ${bearer}` }
  const answer = await send({
    ...{ method: 'GET', url, headers, maxBytes: 2 * MAX_LENGTH },
    ...(signal ? { signal } : {}),
  }).catch((thrown) => {
    const { code, message } = JitError.from(thrown)
    if (code === 'cancelled') throw thrown
    throw new JitError('issuer_unreachable', `GitHub's identity tokens: ${message}`, {
      cause: thrown,
    })
  })
  if (answer.status !== 200) {
    const code = answer.status >= 500 ? 'issuer_unreachable' : 'sign_in_failed'
    throw new JitError(code, `GitHub answered ${answer.status} to the request for a token`)
  }
  return parseJson(GitHubAnswer, answer.body, { what: "GitHub's answer", code: 'sign_in_failed' })
    .value
}

const Payload = v.object({
  iss: v.exactOptional(v.string()),
  aud: v.union([v.string(), v.array(v.string())], 'expected an audience'),
})

/** Read, not verified: that is the broker's to do. */
function payloadOf(token: string, what: string) {
  const [, payload = ''] = token.length <= MAX_LENGTH ? token.split('.') : []
  const text = Buffer.from(payload, 'base64url').toString('utf8')
  return parseJson(Payload, text, { what, code: 'sign_in_failed' })
}

function placeOf(source: WorkloadSource): string {
  if (source.kind === 'github') return "GitHub's token"
  return `the token in ${source.kind === 'file' ? source.path : source.name}`
}

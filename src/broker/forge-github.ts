import * as v from 'valibot'
import type { ForgeAnswer } from '../policy/question.ts'
import { parseJson, type Schema } from '../protocol/parse.ts'
import type { ClaimedContext } from '../protocol/request.ts'
import { readBounded } from './bounded-body.ts'

/** A claim that can be put to a forge: every part of it is well-formed. */
export interface ForgeQuestion {
  /** `host/owner/name` */
  readonly repository: string
  readonly owner: string
  readonly name: string
  readonly branch: string
  readonly commit: string
}

/** @throws Error whatever keeps it from an answer, in words without a secret */
export type GitHub = (question: ForgeQuestion, signal: AbortSignal) => Promise<ForgeAnswer>

const MAX_BYTES = 1024 * 1024
const OWNER = /^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9])?$/
const NAME = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$/
const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/
// git-check-ref-format(1). A colon would name another owner's branch in a comparison.
const NOT_A_BRANCH =
  /^[-/.@]$|^-|\.\.|@\{|\/\/|^\/|\/$|\.$|\.lock$|(?:^|\/)\.|[\p{C}\p{Z} ~^:?*[\\]/u

/** @returns `undefined` for what no forge of `hosts` could verify */
export function forgeQuestion(
  { repository, branch, commit }: Pick<ClaimedContext, 'repository' | 'branch' | 'commit'>,
  hosts: readonly string[],
): ForgeQuestion | undefined {
  const [host = '', owner = '', name = '', ...more] = repository.split('/')
  const known = hosts.includes(host) && more.length === 0 && OWNER.test(owner) && NAME.test(name)
  const isBranch = branch !== '' && branch.length <= 255 && !NOT_A_BRANCH.test(branch)
  if (!known || !isBranch || !COMMIT.test(commit)) return undefined
  return { repository, owner, name, branch, commit }
}

const Branch = v.object({
  name: v.string(),
  protected: v.boolean(),
  commit: v.object({ sha: v.pipe(v.string(), v.regex(COMMIT)) }),
})
const Comparison = v.object({ status: v.picklist(['ahead', 'behind', 'identical', 'diverged']) })

/**
 * GitHub's REST API: `GET /repos/{owner}/{repo}/branches/{branch}`, then a comparison of the commit
 * that stands there with the one claimed; by its id, because a tag may have the branch's name.
 */
export function githubForge(parts: {
  readonly url: string
  readonly fetch: typeof fetch
  readonly token?: string
}): GitHub {
  return async ({ owner, name, branch, commit }, signal) => {
    const get = <T>(path: string, schema: Schema<T>) =>
      read(`${parts.url}/repos/${owner}/${name}/${path}`, schema, { ...parts, signal })
    const found = await get(`branches/${encodeURIComponent(branch)}`, Branch)
    if (found.name !== branch) throw new Error('it answered for another branch')
    const head = found.commit.sha
    const { status } =
      head === commit
        ? { status: 'identical' }
        : await get(`compare/${head}...${commit}`, Comparison)
    return {
      commitOnBranch: status === 'identical' || status === 'behind',
      branchProtected: found.protected,
    }
  }
}

async function read<T>(
  url: string,
  schema: Schema<T>,
  parts: { fetch: typeof fetch; token?: string; signal: AbortSignal },
): Promise<T> {
  const response = await parts
    .fetch(url, {
      headers: {
        accept: 'application/vnd.github+json',
        'user-agent': 'jit-broker',
        'x-github-api-version': '2022-11-28',
        ...(parts.token ? { authorization: `Bearer ${parts.token}` } : {}),
      },
      // A renamed repository redirects: to what bears another name now, and maybe to another host.
      redirect: 'manual',
      signal: parts.signal,
    })
    .catch((cause) => {
      throw new Error(parts.signal.aborted ? 'it did not answer in time' : 'out of reach', {
        cause,
      })
    })
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new Error(`it answered ${response.status}`)
  }
  return parseJson(schema, await readBounded(response, MAX_BYTES), { what: "the forge's answer" })
}

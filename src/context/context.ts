import type { ClaimedContext } from '../protocol/request.ts'
import { isDirty } from './dirty.ts'
import { remoteNames } from './git-config.ts'
import { findRepository, type Repository } from './git-dir.ts'
import { readHead } from './refs.ts'
import { normaliseRemote } from './remote-url.ts'

/** Where a person stands. `root`: the top of the working tree, absent outside any. */
export interface LocalContext {
  readonly claimed: ClaimedContext
  readonly root?: string
}

const NOWHERE: ClaimedContext = { repository: '', branch: '', commit: '', dirty: false }

/**
 * The repository, branch and commit of `directory`, read from `.git` as data: neither git nor
 * anything the repository names is executed, and no file outside it that its configuration
 * includes is read. What can't be read is `""`; never throws for what it finds.
 */
export async function readContext(directory: string): Promise<LocalContext> {
  const repository = findRepository(directory)
  if (!repository) return { claimed: NOWHERE }
  const place = placeIn(repository)
  return {
    root: repository.root,
    claimed: { ...place, dirty: isDirty(repository, place.commit) },
  }
}

/** What can be told of a repository without looking at any file of its working tree: cheap. */
export function placeIn(repository: Repository | undefined): Omit<ClaimedContext, 'dirty'> {
  if (!repository) return { repository: '', branch: '', commit: '' }
  const { branch, commit } = readHead(repository)
  return { repository: repositoryName(repository, branch), branch, commit }
}

/** Of the remote that the branch follows, else `origin`, else the only one there is. */
function repositoryName({ config }: Repository, branch: string): string {
  const upstream = config.get(`branch.${branch}.remote`) ?? ''
  const names = remoteNames(config)
  const only = names.length === 1 ? names[0] : undefined
  for (const name of [upstream, 'origin', only]) {
    const url = config.get(`remote.${name}.url`)
    if (name && url !== undefined) return normaliseRemote(url)
  }
  return ''
}

import { constants, realpathSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { readBelow, readData } from '../lib/data-file.ts'
import { type GitConfig, parseGitConfig } from './git-config.ts'

const MAX_POINTER = 8 * 1024
const MAX_CONFIG = 1024 * 1024

/** Where a repository's parts are. Paths are absolute. */
export interface Repository {
  /** The top of the working tree. */
  readonly root: string
  /** HEAD and index: `.git`, or a linked worktree's or submodule's folder elsewhere. */
  readonly gitDir: string
  /** Shared by all worktrees: config, refs, objects. */
  readonly commonDir: string
  readonly config: GitConfig
  /** Of object ids: `extensions.objectFormat`. */
  readonly hash: 'sha1' | 'sha256'
}

/**
 * The repository that `directory` is in. `GIT_DIR` and its like are not looked at: they would let
 * an environment claim another repository than the one that is stood in. Bare ones don't count.
 */
export function findRepository(directory: string): Repository | undefined {
  let current: string
  try {
    current = realpathSync(directory)
  } catch {
    return undefined
  }
  for (;;) {
    const found = openRepository(current)
    if (found) return found
    const parent = dirname(current)
    if (parent === current) return undefined
    current = parent
  }
}

/** The repository whose working tree begins at `root`. */
export function openRepository(root: string): Repository | undefined {
  const gitDir = gitDirOf(join(root, '.git'))
  if (!gitDir || readBelow(gitDir, 'HEAD', MAX_POINTER) === undefined) return undefined
  const commonDir = commonDirOf(gitDir)
  const config = parseGitConfig(readBelow(commonDir, 'config', MAX_CONFIG)?.toString() ?? '')
  const hash = config.get('extensions.objectformat') === 'sha256' ? 'sha256' : 'sha1'
  return { root, gitDir, commonDir, config, hash }
}

/** Of a linked worktree the folder two above, where git has put it (gitrepository-layout): none other. */
function commonDirOf(gitDir: string): string {
  const shared = readBelow(gitDir, 'commondir', MAX_POINTER)?.toString().trim()
  const above = resolve(gitDir, '../..')
  return shared && resolve(gitDir, shared) === above ? above : gitDir
}

/** `.git` itself, or where the file `.git` of a worktree or submodule points (gitrepository-layout). */
function gitDirOf(path: string): string | undefined {
  try {
    if (statSync(path).isDirectory()) return path
  } catch {
    return undefined
  }
  const pointer = /^gitdir: ([^\0\n]+)\n?$/.exec(
    readData(path, MAX_POINTER, constants.O_NOFOLLOW)?.toString() ?? '',
  )
  return pointer?.[1] && resolve(dirname(path), pointer[1].trimEnd())
}

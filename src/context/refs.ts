import { readBelow } from '../lib/data-file.ts'
import type { Repository } from './git-dir.ts'

const MAX_REF = 4 * 1024
const MAX_PACKED_REFS = 32 * 1024 * 1024
const MAX_CHAIN = 5

/** What HEAD names. */
export interface Head {
  /** Short name of the branch, `""` when detached. */
  readonly branch: string
  /** Object id in hex, `""` before the first commit and where it can't be read (reftable). */
  readonly commit: string
}

/** Follows HEAD through symbolic refs, loose and packed. */
export function readHead(repository: Repository): Head {
  let name = 'HEAD'
  for (let steps = 0; steps <= MAX_CHAIN; steps++) {
    const content = readRef(repository, name)
    const target = /^ref:\s*([^\0\n]*?)\s*$/.exec(content)?.[1]
    if (target === undefined) {
      const commit = OBJECT_ID[repository.hash].test(content) ? content : ''
      return { branch: branchOf(name), commit }
    }
    if (!isRefName(target)) return { branch: '', commit: '' }
    name = target
  }
  return { branch: '', commit: '' }
}

const OBJECT_ID = { sha1: /^[0-9a-f]{40}$/, sha256: /^[0-9a-f]{64}$/ } as const

/** Refs that each worktree has of its own (gitrepository-layout). */
const PER_WORKTREE = /^(?:HEAD$|refs\/(?:bisect|worktree|rewritten)\/)/

function readRef(repository: Repository, name: string): string {
  const dir = PER_WORKTREE.test(name) ? repository.gitDir : repository.commonDir
  const loose = readBelow(dir, name, MAX_REF)?.toString().trim()
  return loose ?? packedRef(repository, name)
}

function packedRef({ commonDir }: Repository, name: string): string {
  const packed = readBelow(commonDir, 'packed-refs', MAX_PACKED_REFS)
  const at = packed?.indexOf(` ${name}\n`) ?? -1
  if (!packed || at < 0) return ''
  return packed.toString('latin1', packed.lastIndexOf('\n', at) + 1, at)
}

/** git-check-ref-format, as far as it keeps a name inside `refs/` and readable. */
function isRefName(name: string): boolean {
  return (
    name.startsWith('refs/') &&
    name.length <= 512 &&
    !/\.\.|\/\/|@\{|[\p{Cc}\s~^:?*[\\]|(?:^|\/)\.|\.lock(?:\/|$)|[./]$/u.test(name)
  )
}

function branchOf(ref: string): string {
  return ref.startsWith('refs/heads/') ? ref.slice('refs/heads/'.length) : ''
}

import { type BigIntStats, constants, lstatSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { readBelow, readData } from '../lib/data-file.ts'
import { openRepository, type Repository } from './git-dir.ts'
import { type IndexEntry, type IndexTime, parseIndex } from './git-index.ts'
import { treeOf } from './git-object.ts'
import { readHead } from './refs.ts'
import { objectId, treeId } from './tree-id.ts'

const MAX_INDEX = 64 * 1024 * 1024
/** Of all files together whose content has to be looked at. */
const MAX_HASHED = 64 * 1024 * 1024

const TYPE = 0o170000
const FILE = 0o100000
const LINK = 0o120000
const SUBMODULE = 0o160000
const FOLDER = 0o040000

/**
 * Whether tracked files differ from the commit: the index from the commit's tree, or the working
 * tree from the index. Untracked files don't count, nor what git was told to assume unchanged or
 * to leave out (sparse checkout). A submodule differs when it is at another commit.
 *
 * A file whose `stat` is the index's is unchanged; of any other the content is hashed as it lies
 * there. Filters are programs and are not run, so a touched file of Git LFS or with converted line
 * ends counts as different until git refreshes its index. So does all that can't be told.
 */
export function isDirty(repository: Repository, commit: string): boolean {
  const indexPath = join(repository.gitDir, 'index')
  const status = statOf(indexPath)
  if (!status) return commit !== ''
  const bytes = readBelow(repository.gitDir, 'index', MAX_INDEX)
  const entries = bytes && parseIndex(bytes, repository.hash === 'sha256' ? 32 : 20)
  if (!entries || entries.some((entry) => entry.stage !== 0 || entry.intentToAdd)) return true
  if (commit === '' ? entries.length > 0 : !isTreeOf(repository, { commit, entries })) return true
  const tree = new WorkingTree(repository, status)
  return entries.some((entry) => tree.differs(entry))
}

function isTreeOf(
  repository: Repository,
  { commit, entries }: { commit: string; entries: readonly IndexEntry[] },
): boolean {
  const tree = treeId(entries, repository.hash)
  return tree !== undefined && treeOf(repository, commit) === tree
}

class WorkingTree {
  readonly #repository: Repository
  readonly #root: Buffer
  readonly #indexWritten: BigIntStats
  readonly #trustMode: boolean
  /** Folders that were seen to be folders, not links to elsewhere. */
  readonly #folders = new Set<string>()
  #mayHash = MAX_HASHED

  constructor(repository: Repository, indexWritten: BigIntStats) {
    this.#repository = repository
    this.#root = Buffer.from(`${repository.root}/`)
    this.#indexWritten = indexWritten
    this.#trustMode = repository.config.get('core.filemode') !== 'false'
  }

  differs(entry: IndexEntry): boolean {
    const type = entry.mode & TYPE
    if (entry.assumeValid || entry.skipWorktree || type === FOLDER) return false
    if (!this.#staysInside(entry.path)) return true
    const path = Buffer.concat([this.#root, entry.path])
    const status = statOf(path)
    if (type === SUBMODULE) return submoduleDiffers(path.toString(), entry, status)
    if (!status || (Number(status.mode) & TYPE) !== type) return true
    if (
      type === FILE &&
      this.#trustMode &&
      isExecutable(status.mode) !== isExecutable(entry.mode)
    ) {
      return true
    }
    return this.#hasOtherContent(path, entry, status)
  }

  #hasOtherContent(path: Buffer, entry: IndexEntry, status: BigIntStats): boolean {
    const size = Number(status.size % 0x1_0000_0000n)
    // git writes size 0 for a file that it wants looked at again.
    if (size !== entry.size && entry.size !== 0) return true
    if (size === entry.size && !this.#isRacy(entry) && sameStat(entry, status)) return false
    this.#mayHash -= Number(status.size)
    if (this.#mayHash < 0) return true
    const content =
      (entry.mode & TYPE) === LINK
        ? linkTarget(path)
        : readData(path, MAX_HASHED, constants.O_NOFOLLOW)
    return !content || objectId('blob', content, this.#repository.hash) !== entry.oid
  }

  /** Changed in the same tick as the index was written: `stat` can't tell (racy-git). */
  #isRacy(entry: IndexEntry): boolean {
    const { seconds, nanoseconds } = entry.mtime
    return BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds) >= this.#indexWritten.mtimeNs
  }

  /** A path that leads out of the tree, or through a link, is not what git tracks. */
  #staysInside(path: Buffer): boolean {
    const segments = path.toString('latin1').split('/')
    if (segments.some((name) => name === '' || name === '.' || name === '..')) return false
    let folder = ''
    for (const name of segments.slice(0, -1)) {
      folder += `${name}/`
      if (this.#folders.has(folder)) continue
      // Without its slash: with one, a link would be followed.
      const status = statOf(Buffer.concat([this.#root, Buffer.from(folder.slice(0, -1), 'latin1')]))
      if (!status?.isDirectory()) return false
      this.#folders.add(folder)
    }
    return true
  }
}

function submoduleDiffers(
  path: string,
  entry: IndexEntry,
  status: BigIntStats | undefined,
): boolean {
  if (!status?.isDirectory()) return true
  const submodule = openRepository(path)
  return submodule !== undefined && readHead(submodule).commit !== entry.oid
}

function sameStat(entry: IndexEntry, status: BigIntStats): boolean {
  return (
    sameTime(entry.mtime, status.mtimeNs) &&
    sameTime(entry.ctime, status.ctimeNs) &&
    BigInt(entry.inode) === status.ino % 0x1_0000_0000n
  )
}

/** Some writers of an index keep whole seconds only. */
function sameTime({ seconds, nanoseconds }: IndexTime, actual: bigint): boolean {
  const whole = (actual / 1_000_000_000n) % 0x1_0000_0000n
  return (
    BigInt(seconds) === whole &&
    (nanoseconds === 0 || BigInt(nanoseconds) === actual % 1_000_000_000n)
  )
}

function isExecutable(mode: number | bigint): boolean {
  return (Number(mode) & 0o100) !== 0
}

function statOf(path: string | Buffer): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

function linkTarget(path: Buffer): Buffer | undefined {
  try {
    return readlinkSync(path, 'buffer')
  } catch {
    return undefined
  }
}

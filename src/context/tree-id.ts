import { createHash } from 'node:crypto'
import type { IndexEntry } from './git-index.ts'

const SLASH = 47
/** Folders, each of which is hashed: more are in no repository that people work in. */
const MAX_TREES = 100_000

/**
 * The id of the tree that committing the index would make. An index is sorted by path, which is
 * the order of trees too, so one pass from left to right does.
 * @returns `undefined` where it has more folders than can be hashed in time
 */
export function treeId(
  entries: readonly IndexEntry[],
  hash: 'sha1' | 'sha256',
): string | undefined {
  let next = 0
  let trees = 0
  const build = (prefix: Buffer): string => {
    trees += 1
    const parts: Buffer[] = []
    for (
      let entry = entries[next];
      entry && trees <= MAX_TREES && startsWith(entry.path, prefix);
      entry = entries[next]
    ) {
      const slash = entry.path.indexOf(SLASH, prefix.length)
      const name = entry.path.subarray(prefix.length, slash < 0 ? undefined : slash)
      // A sparse index holds whole folders, as `folder/`.
      const isEntry = slash < 0 || slash === entry.path.length - 1
      if (isEntry) next++
      const oid = isEntry ? entry.oid : build(entry.path.subarray(0, slash + 1))
      const mode = isEntry ? entry.mode : 0o40000
      parts.push(Buffer.from(`${mode.toString(8)} `), name, NUL, Buffer.from(oid, 'hex'))
    }
    return objectId('tree', Buffer.concat(parts), hash)
  }
  const id = build(Buffer.alloc(0))
  return trees > MAX_TREES ? undefined : id
}

const NUL = Buffer.from([0])

function startsWith(path: Buffer, prefix: Buffer): boolean {
  return path.length > prefix.length && path.subarray(0, prefix.length).equals(prefix)
}

/** The id that git gives an object: the hash of `type size NUL content`, in hex. */
export function objectId(type: 'blob' | 'tree', content: Buffer, hash: 'sha1' | 'sha256'): string {
  return createHash(hash).update(`${type} ${content.length}\0`).update(content).digest('hex')
}

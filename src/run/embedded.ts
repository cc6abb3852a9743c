import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type IndexEntry, parseIndex } from '../context/git-index.ts'
import { readData } from '../lib/data-file.ts'

const MAX_INDEX = 64 * 1024 * 1024
/** A link to a commit of another repository: a submodule, or one that was simply added. */
const GITLINK = 0o160000
/** Milliseconds between two looks at whether the index was written. */
const LOOK_EVERY = 1000

/**
 * Watches the index for repositories that are new in it: `git status` in the outer one runs what the
 * settings of these say (`core.fsmonitor`), and nobody else has looked at them.
 * @param tell is called with the path of each, once
 */
export function watchEmbedded(
  { root, gitDir }: { root: string; gitDir: string },
  tell: (path: string) => void,
): { look(): void } & Disposable {
  const index = join(gitDir, 'index')
  const known = new Set(embeddedIn(root, index))
  let written = writtenAt(index)
  const look = () => {
    const now = writtenAt(index)
    if (now === written) return
    written = now
    for (const path of embeddedIn(root, index)) {
      if (known.has(path)) continue
      known.add(path)
      tell(path)
    }
  }
  const timer = setInterval(look, LOOK_EVERY).unref()
  return { look, [Symbol.dispose]: () => clearInterval(timer) }
}

function writtenAt(index: string): bigint {
  try {
    return statSync(index, { bigint: true }).ctimeNs
  } catch {
    return 0n
  }
}

function embeddedIn(root: string, index: string): string[] {
  const bytes = readData(index, MAX_INDEX)
  const entries: IndexEntry[] = bytes ? (parseIndex(bytes, 20) ?? parseIndex(bytes, 32) ?? []) : []
  return entries
    .filter(({ mode }) => mode === GITLINK)
    .map(({ path }) => join(root, path.toString()))
    .filter((path) => existsSync(join(path, '.git')))
}

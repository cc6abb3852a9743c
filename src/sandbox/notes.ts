import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isFolderBelow } from '../lib/data-file.ts'
import { submodulesOf } from './guarded.ts'
import { pinExclude, unignore, unpinExclude } from './ignored.ts'
import type { SandboxRepository } from './sandbox.ts'

/** What a sandbox has mounted on in a repository that others may be in as well. */
export interface Note {
  readonly path: string
  /** Adds what bubblewrap is going to make: removed when the last sandbox of the repository has ended. */
  add(paths: readonly string[]): void
  /** Nothing was started: takes back what was made, unless another sandbox needs it by now. */
  drop(): void
}

/**
 * Notes that this process has a sandbox here, before anything is looked for: from then on no other
 * sandbox removes what both mount on, which would uncover it in this one.
 * @param folder of this sandbox; the notes lie beside it
 */
export function noteSandbox({
  folder,
  root,
  repository,
}: {
  folder: string
  root: string
  repository: SandboxRepository | undefined
}): Note {
  const shared = repository?.commonDir ?? root
  const name = createHash('sha256').update(shared).digest('hex').slice(0, 16)
  const notes = join(dirname(folder), 'mounted', name)
  const path = join(notes, `${process.pid}.${randomBytes(4).toString('hex')}`)
  const write = (paths: readonly string[]) => {
    const lines = paths.filter((made) => !made.includes('\n')).map((made) => `${made}\n`)
    // One that ended just now may have removed the folder.
    mkdirSync(notes, { recursive: true, mode: 0o700 })
    writeFileSync(path, lines.join(''))
  }
  write([])
  // Of one that the machine went down with.
  if (repository && readdirSync(notes).length === 1) unignore(repository)
  const fixed = repository ? pinned(repository) : []
  const all = [...fixed, ...(repository ? pinExclude(repository) : [])]
  write(all)
  return {
    path,
    add: (paths) => write([...all, ...paths]),
    drop() {
      rmSync(path, { force: true })
      if (existsSync(notes) && readdirSync(notes).length > 0) return
      for (const file of [notes, ...fixed]) rmSync(file, { recursive: true, force: true })
      if (repository) unpinExclude(repository, all)
    },
  }
}

/**
 * Git reads where its settings lie from `commondir` (gitrepository-layout), which only worktrees have, and
 * where more objects do from `alternates`: made elsewhere, it would have git run what a command in the
 * sandbox has put there, or take in what lies in another repository. So there is one that says what is
 * true without it.
 */
function pinned(repository: SandboxRepository): string[] {
  return [repository.commonDir, ...submodulesOf(repository)].flatMap((dir) => {
    if (!existsSync(join(dir, 'HEAD'))) return []
    // `.` alone confuses libgit2.
    const files = { commondir: './\n', 'objects/info/alternates': '' }
    return Object.entries(files)
      .filter(([name]) => isFolderBelow(dir, dirname(name)))
      .flatMap(([name, text]) => made(join(dir, name), text))
  })
}

function made(path: string, text: string): string[] {
  try {
    writeFileSync(path, text, { flag: 'wx' })
    return [path]
  } catch {
    return []
  }
}

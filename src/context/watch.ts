import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { isFolderBelow } from '../lib/data-file.ts'
import type { ClaimedContext } from '../protocol/request.ts'
import { placeIn, readContext } from './context.ts'
import { findRepository, type Repository } from './git-dir.ts'

/** How long after a sign it is looked, in milliseconds: git changes several files, one after the other. */
const SETTLE_MS = 100
/** How often it is looked without any sign, in milliseconds: not every file system tells of changes. */
const LOOK_EVERY_MS = 3000

/** What of a git directory says where it stands (gitrepository-layout). */
const TELLING: ReadonlySet<string> = new Set(['HEAD', 'config', 'packed-refs', 'commondir'])

export interface WatchedContext {
  readonly directory: string
  /** Where it stood when that was last told. */
  readonly known: ClaimedContext
  /** Told where it stands now, each time that changed. */
  changed(claimed: ClaimedContext): void
}

/**
 * Watches repository, branch and commit of a directory, as {@link readContext} reads them: git is never
 * run. What changes in files only is no change. It keeps no process alive.
 */
export class ContextWatch implements Disposable {
  readonly #watched: WatchedContext
  readonly #poll: NodeJS.Timeout
  #known: ClaimedContext
  #watchers: FSWatcher[] = []
  #folders = ''
  #settle: NodeJS.Timeout | undefined
  #looking = false
  #stopped = false

  constructor(watched: WatchedContext) {
    this.#watched = watched
    this.#known = watched.known
    this.#poll = setInterval(() => this.#look(), LOOK_EVERY_MS).unref()
    this.#look()
  }

  [Symbol.dispose](): void {
    this.#stopped = true
    clearInterval(this.#poll)
    clearTimeout(this.#settle)
    this.#unwatch()
  }

  #look(): void {
    if (this.#looking || this.#stopped) return
    this.#looking = true
    this.#read()
      // What can't be read now (a network file system, a failing disk) is looked at again.
      .catch(() => {})
      .finally(() => {
        this.#looking = false
      })
  }

  async #read(): Promise<void> {
    const { directory, changed } = this.#watched
    const repository = findRepository(directory)
    // Before it is read: what changes in between gives a sign.
    if (repository) this.#watch(repository)
    else this.#unwatch()
    if (isSamePlace(placeIn(repository), this.#known)) return
    const { claimed } = await readContext(directory)
    if (this.#stopped || isSamePlace(claimed, this.#known)) return
    this.#known = claimed
    changed(claimed)
  }

  #watch(repository: Repository): void {
    const places = tellingPlaces(repository)
    const folders = places.map(({ folder }) => folder).join('\0')
    if (folders === this.#folders) return
    this.#unwatch()
    this.#folders = folders
    this.#watchers = places.flatMap((place) => watchPlace(place, () => this.#sign()))
  }

  #unwatch(): void {
    for (const watcher of this.#watchers) watcher.close()
    this.#watchers = []
    this.#folders = ''
  }

  #sign(): void {
    clearTimeout(this.#settle)
    this.#settle = setTimeout(() => this.#look(), SETTLE_MS).unref()
  }
}

function isSamePlace(a: Omit<ClaimedContext, 'dirty'>, b: Omit<ClaimedContext, 'dirty'>): boolean {
  return a.repository === b.repository && a.branch === b.branch && a.commit === b.commit
}

/** A folder, and the names in it that tell: git puts a new file in a file's place rather than write into it. */
interface Place {
  readonly folder: string
  readonly names: ReadonlySet<string>
}

function tellingPlaces(repository: Repository): Place[] {
  const { gitDir, commonDir } = repository
  const { branch } = placeIn(repository)
  const ref = join(commonDir, 'refs/heads', branch)
  return [
    { folder: gitDir, names: TELLING },
    ...(commonDir === gitDir ? [] : [{ folder: commonDir, names: TELLING }]),
    ...(branch !== '' && isFolderBelow(commonDir, dirname(`refs/heads/${branch}`))
      ? [{ folder: dirname(ref), names: new Set([basename(ref)]) }]
      : []),
  ]
}

/** None where it can't be watched: it is looked now and then anyway. */
function watchPlace({ folder, names }: Place, onSign: () => void): FSWatcher[] {
  try {
    const watcher = watch(folder, { persistent: false }, (_, name) => {
      // Of its own end a folder tells under its own name.
      if (name === null || names.has(name) || name === basename(folder)) onSign()
    })
    watcher.on('error', () => watcher.close())
    return [watcher]
  } catch {
    return []
  }
}

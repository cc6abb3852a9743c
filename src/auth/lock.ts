import { randomUUID } from 'node:crypto'
import { readFileSync, rmSync, type Stats } from 'node:fs'
import { link, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises'

/** A holder that shows no sign of life for this long has lost the lock. Milliseconds. */
const STALE = 5000
const SIGN_OF_LIFE = 1000

/** Gives the lock back. */
export type Unlock = () => Promise<void>

/**
 * Takes a lock between processes: a file that its holder touches every second. A holder that was
 * killed or stopped blocks nobody for more than 5 s. It installs no signal handlers, as lock
 * libraries do: those of `jit exec` belong to its child.
 * @returns `undefined` while another process holds it
 * @throws what the file system throws
 */
export async function tryLock(file: string): Promise<Unlock | undefined> {
  const owner = randomUUID()
  if (!(await create(file, owner))) {
    await removeStale(file)
    return undefined
  }
  const touch = () => {
    const now = new Date()
    utimes(file, now, now).catch(() => {})
  }
  const timer = setInterval(touch, SIGN_OF_LIFE).unref()
  const drop = () => {
    if (readOwner(file) === owner) rmSync(file, { force: true })
  }
  process.once('exit', drop)
  return async () => {
    clearInterval(timer)
    process.off('exit', drop)
    const held = await readFile(file, 'utf8').catch(() => '')
    if (held === owner) await rm(file, { force: true })
  }
}

async function create(file: string, owner: string): Promise<boolean> {
  try {
    const handle = await open(file, 'wx', 0o600)
    await handle.writeFile(owner).finally(() => handle.close())
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw cause
  }
}

async function removeStale(file: string): Promise<void> {
  const seen = await statOf(file)
  if (!seen || Date.now() - seen.mtimeMs < STALE) return
  const aside = `${file}.${randomUUID()}`
  try {
    await rename(file, aside)
    // Another process may have been faster, and this its new lock: put it back.
    const moved = await statOf(aside)
    if (moved && moved.ino !== seen.ino) await link(aside, file)
  } catch {
    // Somebody else moved it, or has the lock by now: the next try will tell.
  } finally {
    await rm(aside, { force: true })
  }
}

function statOf(file: string): Promise<Stats | undefined> {
  return stat(file).catch(() => undefined)
}

function readOwner(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { JitError } from '../lib/errors.ts'

/**
 * A directory with one file an entry, so that processes that write different entries never meet.
 * Directory 0700, files 0600; an entry is replaced whole (write beside, sync, rename) or not at all.
 */
export class EntryDirectory {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /** Whether any entry is kept here. */
  async holdsEntries(): Promise<boolean> {
    const names = await readdir(this.path).catch(absent)
    return names?.some((name) => name.endsWith('.entry')) ?? false
  }

  fileOf(name: string): string {
    return join(this.path, `${createHash('sha256').update(name).digest('hex').slice(0, 32)}.entry`)
  }

  async read(name: string): Promise<Buffer | undefined> {
    return await readFile(this.fileOf(name)).catch(absent)
  }

  async write(name: string, content: string | Buffer): Promise<void> {
    const file = this.fileOf(name)
    const beside = `${file}.${randomBytes(6).toString('hex')}`
    try {
      await mkdir(this.path, { recursive: true, mode: 0o700 })
      await chmod(this.path, 0o700)
      const handle = await open(beside, 'wx', 0o600)
      try {
        await handle.writeFile(content)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(beside, file)
    } catch (cause) {
      await rm(beside, { force: true }).catch(() => {})
      throw failed(`can't write ${file}`, cause)
    }
  }

  async remove(name: string): Promise<void> {
    await rm(this.fileOf(name), { force: true }).catch((cause) => {
      throw failed(`can't remove ${this.fileOf(name)}`, cause)
    })
  }
}

/** What is to be said of an entry that can't be read. */
export function damaged(file: string, cause?: unknown): JitError {
  return new JitError('keystore_failed', `${file} is damaged`, {
    hint: 'remove it, then jit login',
    cause,
  })
}

function absent(cause: NodeJS.ErrnoException): undefined {
  if (cause.code === 'ENOENT') return undefined
  throw failed(`can't read ${cause.path ?? 'the keystore'}`, cause)
}

function failed(message: string, cause: unknown): JitError {
  const { code } = cause as { code?: string }
  return new JitError('keystore_failed', code ? `${message} (${code})` : message, { cause })
}

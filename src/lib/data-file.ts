import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** An open regular file, read at offsets. */
export interface DataFile extends Disposable {
  /** Bytes. */
  readonly size: number
  /** At most `length` bytes from `offset`; fewer at the end of the file. */
  read(offset: number, length: number): Buffer
}

/**
 * Opens a file of a repository, which anyone may have made: never a device, and never waiting for
 * a pipe that nobody writes to.
 * @returns `undefined` where there is no such regular file
 */
export function openData(path: string | Buffer, flags = 0): DataFile | undefined {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | flags)
  } catch {
    return undefined
  }
  const status = fstatSync(fd)
  const close = () => closeSync(fd)
  if (!status.isFile()) {
    close()
    return undefined
  }
  return {
    size: status.size,
    read(offset, length) {
      const bytes = Buffer.alloc(Math.max(0, Math.min(length, status.size - offset)))
      let filled = 0
      while (filled < bytes.length) {
        const count = readSync(fd, bytes, filled, bytes.length - filled, offset + filled)
        if (count === 0) break
        filled += count
      }
      return bytes.subarray(0, filled)
    },
    [Symbol.dispose]: close,
  }
}

/** A whole file of at most `max` bytes; `undefined` where there is none, or a larger one. */
export function readData(path: string | Buffer, max: number, flags = 0): Buffer | undefined {
  using file = openData(path, flags)
  return file && file.size <= max ? file.read(0, file.size) : undefined
}

/**
 * A file below a folder, by its path in there. No link is followed on the way: it may lead to what is
 * none of the repository's business.
 * @returns `undefined` also where something on the way is no folder
 */
export function openBelow(folder: string, name: string): DataFile | undefined {
  return isFolderBelow(folder, dirname(name))
    ? openData(join(folder, name), constants.O_NOFOLLOW)
    : undefined
}

/** As {@link openBelow}, whole. */
export function readBelow(folder: string, name: string, max: number): Buffer | undefined {
  return isFolderBelow(folder, dirname(name))
    ? readData(join(folder, name), max, constants.O_NOFOLLOW)
    : undefined
}

/** Whether each part of the path is a folder, and none a link to one. */
export function isFolderBelow(folder: string, name: string): boolean {
  let path = folder
  for (const part of name.split('/')) {
    path = join(path, part)
    if (part !== '.' && !isFolder(path)) return false
  }
  return true
}

function isFolder(path: string): boolean {
  try {
    return lstatSync(path).isDirectory()
  } catch {
    return false
  }
}

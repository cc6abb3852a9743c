/** One file of the index (gitformat-index), with what `stat` said of it when it was added. */
export interface IndexEntry {
  readonly path: Buffer
  readonly mode: number
  /** Object id in hex. */
  readonly oid: string
  readonly size: number
  readonly inode: number
  readonly mtime: IndexTime
  readonly ctime: IndexTime
  /** 0, or a side of a conflict. */
  readonly stage: number
  readonly assumeValid: boolean
  readonly skipWorktree: boolean
  /** Added with `--intent-to-add`: without content yet. */
  readonly intentToAdd: boolean
}

export interface IndexTime {
  readonly seconds: number
  readonly nanoseconds: number
}

const FIXED = 40
const EXTENDED = 0x4000
const MAX_PATH = 4096
/** Bytes of all paths together: version 4 writes a long one in two bytes. */
const MAX_PATHS = 64 * 1024 * 1024

/**
 * The entries of an index of version 2 to 4.
 * @returns `undefined` for what isn't one, is cut short, is split over two files or grows too large
 */
export function parseIndex(bytes: Buffer, oidLength: 20 | 32): IndexEntry[] | undefined {
  if (bytes.length < 12 || bytes.toString('latin1', 0, 4) !== 'DIRC') return undefined
  const version = bytes.readUInt32BE(4)
  const count = bytes.readUInt32BE(8)
  if (version < 2 || version > 4 || count > bytes.length / (FIXED + oidLength)) return undefined
  const entries: IndexEntry[] = []
  try {
    let at = 12
    let previous: Buffer = Buffer.alloc(0)
    let pathBytes = 0
    for (let i = 0; i < count; i++) {
      const read = readEntry({ bytes, at, version, oidLength, previous })
      entries.push(read.entry)
      previous = read.entry.path
      pathBytes += previous.length
      if (pathBytes > MAX_PATHS) return undefined
      at = read.next
    }
    return isSplit(bytes, at, oidLength) ? undefined : entries
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

interface Position {
  readonly bytes: Buffer
  readonly at: number
  readonly version: number
  readonly oidLength: number
  /** The path before: version 4 writes only what differs. */
  readonly previous: Buffer
}

/** @throws RangeError past the end */
function readEntry(position: Position): { entry: IndexEntry; next: number } {
  const { bytes, at, oidLength } = position
  const time = (offset: number) => ({
    seconds: bytes.readUInt32BE(at + offset),
    nanoseconds: bytes.readUInt32BE(at + offset + 4),
  })
  const flagsAt = at + FIXED + oidLength
  const flags = bytes.readUInt16BE(flagsAt)
  const more = flags & EXTENDED ? bytes.readUInt16BE(flagsAt + 2) : 0
  const { path, next } = readPath(position, flagsAt + (flags & EXTENDED ? 4 : 2))
  const entry: IndexEntry = {
    path,
    mode: bytes.readUInt32BE(at + 24),
    oid: bytes.toString('hex', at + FIXED, flagsAt),
    size: bytes.readUInt32BE(at + 36),
    inode: bytes.readUInt32BE(at + 20),
    ctime: time(0),
    mtime: time(8),
    stage: (flags >> 12) & 3,
    assumeValid: (flags & 0x8000) !== 0,
    skipWorktree: (more & 0x4000) !== 0,
    intentToAdd: (more & 0x2000) !== 0,
  }
  return { entry, next }
}

function readPath({ bytes, at, version, previous }: Position, start: number) {
  let from = start
  let kept = 0
  if (version === 4) {
    const dropped = readVarint(bytes, start)
    if (dropped.value > previous.length) throw new RangeError('more dropped than there was')
    kept = previous.length - dropped.value
    from = dropped.next
  }
  const end = bytes.indexOf(0, from)
  if (end < 0 || end - from + kept > MAX_PATH) throw new RangeError('a path without an end')
  const path = Buffer.concat([previous.subarray(0, kept), bytes.subarray(from, end)])
  // Before version 4, entries are padded to eight bytes with one to eight NULs.
  const next = version === 4 ? end + 1 : at + ((end - at + 8) & ~7)
  return { path, next }
}

/** The variable-width integer of pack offsets and version 4 paths. */
export function readVarint(bytes: Buffer, start: number): { value: number; next: number } {
  let next = start
  let byte = bytes.readUInt8(next++)
  let value = byte & 127
  while (byte & 128) {
    byte = bytes.readUInt8(next++)
    value = (value + 1) * 128 + (byte & 127)
    if (value > Number.MAX_SAFE_INTEGER / 256) throw new RangeError('too large a number')
  }
  return { value, next }
}

/** Whether the extension `link` is there: the entries are mostly in another file then. */
function isSplit(bytes: Buffer, start: number, oidLength: number): boolean {
  let at = start
  while (at + 8 <= bytes.length - oidLength) {
    if (bytes.toString('latin1', at, at + 4) === 'link') return true
    at += 8 + bytes.readUInt32BE(at + 4)
  }
  return false
}

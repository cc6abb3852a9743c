import type { DataFile } from '../lib/data-file.ts'
import { readVarint } from './git-index.ts'

const HEADER = 8
const FANOUT = 256 * 4
const MAX_DELTAS = 50
const MAX_STORED = 1024 * 1024

const COMMIT = 1
const OFFSET_DELTA = 6
const REF_DELTA = 7

/** A pack with its index (gitformat-pack). */
export interface Pack {
  readonly index: DataFile
  readonly pack: DataFile
  inflate(bytes: Buffer): Buffer | undefined
}

/** A commit out of a pack; `undefined` where it isn't in it, isn't a commit or can't be read. */
export function readPacked(pack: Pack, id: Buffer): Buffer | undefined {
  try {
    const offset = findOffset(pack.index, id)
    return offset === undefined
      ? undefined
      : readObject({ pack, offset, idLength: id.length, depth: 0 })
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

/** Binary search in an index of version 2. @throws RangeError where it is cut short */
function findOffset(index: DataFile, id: Buffer): number | undefined {
  if (index.read(0, HEADER).toString('hex') !== 'ff744f6300000002') return undefined
  const fanout = index.read(HEADER, FANOUT)
  const first = id.readUInt8(0)
  const total = fanout.readUInt32BE(255 * 4)
  let low = first === 0 ? 0 : fanout.readUInt32BE((first - 1) * 4)
  let high = Math.min(fanout.readUInt32BE(first * 4), total)
  const names = HEADER + FANOUT
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2)
    const order = index.read(names + middle * id.length, id.length).compare(id)
    if (order === 0)
      return offsetOf({ index, at: middle, total, offsets: names + total * (id.length + 4) })
    if (order < 0) low = middle + 1
    else high = middle
  }
  return undefined
}

function offsetOf(entry: { index: DataFile; at: number; total: number; offsets: number }): number {
  const { index, at, total, offsets } = entry
  const offset = index.read(offsets + at * 4, 4).readUInt32BE(0)
  if (offset < 0x8000_0000) return offset
  const large = offsets + total * 4 + (offset - 0x8000_0000) * 8
  return Number(index.read(large, 8).readBigUInt64BE(0))
}

interface Place {
  readonly pack: Pack
  readonly offset: number
  readonly idLength: number
  readonly depth: number
}

/** @throws RangeError where the pack is cut short */
function readObject(place: Place): Buffer | undefined {
  const { pack, offset, idLength, depth } = place
  if (depth > MAX_DELTAS) return undefined
  const stored = pack.pack.read(offset, MAX_STORED)
  const { type, next } = readHeader(stored)
  if (type === COMMIT) return pack.inflate(stored.subarray(next))
  const at = (base: number) => readObject({ pack, offset: base, idLength, depth: depth + 1 })
  if (type === OFFSET_DELTA) {
    const back = readVarint(stored, next)
    if (back.value <= 0 || back.value > offset) return undefined
    return applied(at(offset - back.value), pack.inflate(stored.subarray(back.next)))
  }
  if (type !== REF_DELTA) return undefined
  const base = findOffset(pack.index, stored.subarray(next, next + idLength))
  if (base === undefined) return undefined
  return applied(at(base), pack.inflate(stored.subarray(next + idLength)))
}

/** Type and, passed over, size of an object in a pack. */
function readHeader(bytes: Buffer): { type: number; next: number } {
  let next = 0
  let byte = bytes.readUInt8(next++)
  const type = (byte >> 4) & 7
  while (byte & 128) byte = bytes.readUInt8(next++)
  return { type, next }
}

function applied(base: Buffer | undefined, delta: Buffer | undefined): Buffer | undefined {
  return base && delta ? applyDelta(base, delta) : undefined
}

/** Copies from the base and inserts from the delta. @throws RangeError */
function applyDelta(base: Buffer, delta: Buffer): Buffer | undefined {
  let at = skipSize(delta, skipSize(delta, 0))
  const parts: Buffer[] = []
  let length = 0
  const take = (from: Buffer, start: number, size: number) => {
    length += size
    if (start + size > from.length || length > MAX_STORED) throw new RangeError('past the end')
    parts.push(from.subarray(start, start + size))
  }
  while (at < delta.length) {
    const instruction = delta.readUInt8(at++)
    if (instruction & 128) {
      const field = (bits: number[]) =>
        bits.reduce(
          (sum, bit, i) => sum + (instruction & bit ? delta.readUInt8(at++) * 256 ** i : 0),
          0,
        )
      const start = field([1, 2, 4, 8])
      take(base, start, field([16, 32, 64]) || 0x10000)
    } else {
      if (instruction === 0) return undefined
      take(delta, at, instruction)
      at += instruction
    }
  }
  return Buffer.concat(parts)
}

function skipSize(bytes: Buffer, start: number): number {
  let at = start
  while (bytes.readUInt8(at++) & 128);
  return at
}

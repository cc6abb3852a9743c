import { readdirSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import { inflateSync } from 'node:zlib'
import { isFolderBelow, openBelow, readBelow } from '../lib/data-file.ts'
import type { Repository } from './git-dir.ts'
import { readPacked } from './git-pack.ts'

const MAX_OBJECT = 1024 * 1024
const MAX_ALTERNATES = 16
/** Of one folder: git packs them together long before. */
const MAX_PACKS = 1000

/**
 * The id of a commit's tree, from its loose object or its pack, in the repository or what it
 * borrows from.
 * @returns `undefined` where the commit can't be found or read
 */
export function treeOf(repository: Repository, commit: string): string | undefined {
  const length = repository.hash === 'sha256' ? 64 : 40
  if (!isFolderBelow(repository.commonDir, 'objects')) return undefined
  for (const objects of objectFolders(join(repository.commonDir, 'objects'))) {
    const content = readLoose(objects, commit) ?? readFromPacks(objects, commit)
    if (content === undefined) continue
    const tree = /^tree ([0-9a-f]+)\n/.exec(content.toString('latin1', 0, 80))?.[1]
    return tree?.length === length ? tree : undefined
  }
  return undefined
}

/** The folder itself and its alternates (gitrepository-layout), each once. */
function objectFolders(first: string): string[] {
  const folders = [first]
  for (let i = 0; i < folders.length && folders.length < MAX_ALTERNATES; i++) {
    const folder = folders[i] ?? first
    const lines = readBelow(folder, 'info/alternates', 64 * 1024)
      ?.toString()
      .split('\n')
    for (const line of lines ?? []) {
      if (line === '' || line.startsWith('#') || line.includes('\0')) continue
      const other = isAbsolute(line) ? line : resolve(folder, line)
      if (!folders.includes(other)) folders.push(other)
    }
  }
  return folders.slice(0, MAX_ALTERNATES)
}

function readLoose(objects: string, id: string): Buffer | undefined {
  const packed = readBelow(objects, `${id.slice(0, 2)}/${id.slice(2)}`, MAX_OBJECT)
  const object = packed && inflate(packed)
  if (!object) return undefined
  const header = object.indexOf(0)
  return object.toString('latin1', 0, 7) === 'commit ' ? object.subarray(header + 1) : undefined
}

/** The first zlib stream in `bytes`, undefined where it isn't one or grows too large. */
function inflate(bytes: Buffer): Buffer | undefined {
  try {
    return inflateSync(bytes, { maxOutputLength: MAX_OBJECT })
  } catch {
    return undefined
  }
}

function readFromPacks(objects: string, id: string): Buffer | undefined {
  if (!isFolderBelow(objects, 'pack')) return undefined
  for (const name of indexNames(join(objects, 'pack'))) {
    using index = openBelow(objects, `pack/${name}`)
    using pack = openBelow(objects, `pack/${name.replace(/\.idx$/, '.pack')}`)
    if (!index || !pack) continue
    const found = readPacked({ index, pack, inflate }, Buffer.from(id, 'hex'))
    if (found) return found
  }
  return undefined
}

function indexNames(folder: string): string[] {
  try {
    const names = readdirSync(folder).filter((name) => name.endsWith('.idx'))
    return names.slice(0, MAX_PACKS)
  } catch {
    return []
  }
}

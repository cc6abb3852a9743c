import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseIndex } from '../../src/context/git-index.ts'
import { treeId } from '../../src/context/tree-id.ts'
import { git, repository, write } from './repositories.ts'

const PATHS = [
  'a',
  'a-b',
  'a.b/c',
  'a/b',
  'a0',
  'long/path/that/is/shared/one',
  'long/path/that/is/shared/two',
  'ü',
]

function indexed(version: string): { root: string; bytes: Buffer } {
  const root = repository()
  const files = PATHS.filter((path) => path !== 'a')
  write(root, Object.fromEntries(files.map((path, i) => [path, `${i}`])))
  git(root, 'add', '.')
  git(root, 'update-index', '--index-version', version)
  return { root, bytes: readFileSync(join(root, '.git', 'index')) }
}

describe('an index', () => {
  it.each(['2', '3', '4'])(
    'of version %s has the entries that git lists, and the tree it writes',
    (version) => {
      const { root, bytes } = indexed(version)
      const entries = parseIndex(bytes, 20) ?? []
      const listed = git(root, 'ls-files', '-s', '-z').split('\0').filter(Boolean)
      const mine = entries.map((e) => `${e.mode.toString(8)} ${e.oid} ${e.stage}\t${e.path}`)
      expect(mine).toEqual(listed)
      expect(treeId(entries, 'sha1')).toBe(git(root, 'write-tree'))
    },
  )

  it('that is cut short or damaged is none, and nothing is thrown', () => {
    const samples = ['2', '4'].map((version) => indexed(version).bytes)
    fc.assert(
      fc.property(
        fc.constantFrom(...samples),
        fc.array(fc.tuple(fc.nat(2000), fc.nat(255)), { maxLength: 5 }),
        fc.nat(2000),
        (sample, changes, length) => {
          const bytes = Buffer.from(sample)
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
          const entries = parseIndex(bytes.subarray(0, bytes.length - (length % 200)), 20)
          if (entries) expect(treeId(entries, 'sha1')).toMatch(/^[0-9a-f]{40}$/)
        },
      ),
    )
  })

  it('whose short entries stand for more paths than fit in memory is none', () => {
    const head = Buffer.from('DIRC\0\0\0\x04\0\0\0\0', 'latin1')
    const entry = (dropped: number, path: string) =>
      Buffer.concat([Buffer.alloc(62), Buffer.of(dropped), Buffer.from(`${path}\0`)])
    const next = Buffer.concat(Array.from({ length: 20_000 }, () => entry(1, 'b')))
    head.writeUInt32BE(20_001, 8)
    const whole = Buffer.concat([head, entry(0, 'a'.repeat(4000)), next, Buffer.alloc(20)])
    expect(parseIndex(whole, 20)).toBeUndefined()
    head.writeUInt32BE(1001, 8)
    const shorter = Buffer.concat([head, whole.subarray(12)])
    expect(parseIndex(shorter, 20)).toHaveLength(1001)
  })

  it('of more folders than can be hashed in time has no tree', () => {
    const [entry] = parseIndex(indexed('2').bytes, 20) ?? []
    if (!entry) throw new Error('nothing is indexed')
    const deep = Array.from({ length: 60 }, (_, i) => ({
      ...entry,
      path: Buffer.from(`${String(i).padStart(2, '0')}/${'a/'.repeat(2000)}x`),
    }))
    expect(treeId(deep.slice(0, 10), 'sha1')).toMatch(/^[0-9a-f]{40}$/)
    expect(treeId(deep, 'sha1')).toBeUndefined()
  })

  it('of nonsense is none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
        parseIndex(Buffer.concat([Buffer.from('DIRC\0\0\0\x02\0\0\0\x01', 'latin1'), noise]), 20)
      }),
    )
  })
})

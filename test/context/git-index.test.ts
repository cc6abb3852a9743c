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

  it('of nonsense is none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
        parseIndex(Buffer.concat([Buffer.from('DIRC\0\0\0\x02\0\0\0\x01', 'latin1'), noise]), 20)
      }),
    )
  })
})

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { readPacked } from '../../src/context/git-pack.ts'
import { openData } from '../../src/lib/data-file.ts'
import { git, repository } from './repositories.ts'

it('a pack whose index claims more objects than it has is searched to an end', () => {
  const root = repository()
  git(root, 'repack', '-adq')
  const folder = join(root, '.git/objects/pack')
  const name = readdirSync(folder).find((file) => file.endsWith('.idx')) ?? 'none'
  const id = Buffer.from(git(root, 'rev-parse', 'HEAD'), 'hex')
  const index = readFileSync(join(folder, name))
  // Of the fan-out, from the first byte of this id on.
  const endless = Buffer.from(index).fill(0xff, 8 + id.readUInt8(0) * 4, 8 + 1024)
  writeFileSync(join(root, 'endless.idx'), endless)
  using opened = openData(join(root, 'endless.idx'))
  using pack = openData(join(folder, name.replace(/idx$/, 'pack')))
  if (!opened || !pack) throw new Error('not there')
  expect(readPacked({ index: opened, pack, inflate: (bytes) => bytes }, id)).toBeUndefined()
})

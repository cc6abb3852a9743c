import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inflateSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { readContext } from '../../src/context/context.ts'
import { parseGitConfig, remoteNames } from '../../src/context/git-config.ts'
import { parseIndex } from '../../src/context/git-index.ts'
import { readPacked } from '../../src/context/git-pack.ts'
import { treeId } from '../../src/context/tree-id.ts'
import { openData } from '../../src/lib/data-file.ts'
import { parse } from '../../src/protocol/parse.ts'
import { ClaimedContext } from '../../src/protocol/request.ts'
import { git, repository, write } from '../context/repositories.ts'
import { temporaryFolder } from '../folder.ts'
import { mutatedBytes, mutatedText } from './mutations.ts'
import { holds } from './property.ts'

/** What is read of a repository, by its path in it. */
const PARTS = [
  ...['.git/HEAD', '.git/config', '.git/packed-refs', '.git/index', '.git/refs/heads/loose'],
  ...['.git/commondir', '.git/objects/info/alternates', 'nested/.git'],
]

const root = packed()
const ID = git(root, 'rev-parse', 'HEAD')

/** A repository whose commits lie in a pack, as deltas of each other. */
function packed(): string {
  const root = repository()
  git(root, 'remote', 'add', 'origin', 'https://u:p@example.com/acme/shop.git')
  for (const i of [1, 2, 3, 4]) {
    write(root, { 'a.txt': `${i}\n` })
    git(root, 'commit', '-q', '-a', '-m', `change ${i} of many, with a long message to share`)
  }
  git(root, 'branch', 'loose', 'HEAD~1')
  git(root, 'repack', '-adfq', '--depth=10', '--window=10')
  git(root, 'pack-refs', '--no-all')
  write(root, {
    '.git/refs/heads/loose': `${git(root, 'rev-parse', 'HEAD~2')}\n`,
    '.git/objects/info/alternates': '../elsewhere/objects\n',
    '.git/packed-refs': `# pack-refs with: peeled fully-peeled sorted \n${git(root, 'rev-parse', 'HEAD')} refs/heads/main\n`,
    'nested/.git': 'gitdir: ../.git\n',
  })
  return root
}

function packFiles(): { index: Buffer; pack: Buffer } {
  const folder = join(root, '.git/objects/pack')
  const name = readdirSync(folder).find((file) => file.endsWith('.idx')) ?? 'none'
  return {
    index: readFileSync(join(folder, name)),
    pack: readFileSync(join(folder, name.replace(/idx$/, 'pack'))),
  }
}

function inflate(bytes: Buffer): Buffer | undefined {
  try {
    return inflateSync(bytes, { maxOutputLength: 1024 * 1024 })
  } catch {
    return undefined
  }
}

/** What is claimed of a repository has to be what the broker takes, whatever lies in it. */
async function isClaimable(directory: string): Promise<void> {
  const { claimed } = await readContext(directory)
  parse(ClaimedContext, claimed, { what: 'context' })
  expect(claimed.commit).toMatch(/^(?:[0-9a-f]{40}|[0-9a-f]{64})?$/)
}

test.each(PARTS)(
  'a repository whose %s is anything has a context that can be sent',
  async (part) => {
    const path = join(root, part)
    const before = existsSync(path) ? readFileSync(path) : undefined
    const sample = before ?? Buffer.from('../.git\n')
    const where = part.startsWith('nested') ? join(root, 'nested') : root
    const text = mutatedText(sample.toString()).map((mutated) => Buffer.from(mutated))
    try {
      await holds(part.endsWith('index') ? mutatedBytes(sample) : text, (content) => {
        writeFileSync(path, content)
        return isClaimable(where)
      })
    } finally {
      if (before) writeFileSync(path, before)
      else rmSync(path)
    }
  },
)

test('a configuration is read in time, and its remotes are names that stand in it', async () => {
  const sample = readFileSync(join(root, '.git/config'), 'utf8')
  const more = '[a "b\\"c"]\n\tk = "v # w" \\\n next ; end\n[branch "x.y"]\n\tremote = origin\n'
  await holds(
    mutatedText(sample, more),
    (text) => {
      const config = parseGitConfig(text)
      for (const name of remoteNames(config)) expect(config.has(`remote.${name}.url`)).toBe(true)
    },
    { share: 5 },
  )
})

test('an index has entries or is none, and its tree has an id', async () => {
  const samples = ['2', '3', '4'].map((version) => {
    git(root, 'update-index', '--index-version', version)
    return readFileSync(join(root, '.git/index'))
  })
  await holds(
    mutatedBytes(...samples),
    (bytes) => {
      const entries = parseIndex(bytes, 20)
      if (entries) expect(treeId(entries, 'sha1') ?? '').toMatch(/^(?:[0-9a-f]{40})?$/)
    },
    { share: 5 },
  )
})

test('a commit is found in a pack or not, whatever pack and index are', async () => {
  const { index, pack } = packFiles()
  const folder = temporaryFolder('fuzz')
  const at = { index: join(folder, 'p.idx'), pack: join(folder, 'p.pack') }
  const find = async (changed: { index?: Buffer; pack?: Buffer }) => {
    writeFileSync(at.index, changed.index ?? index)
    writeFileSync(at.pack, changed.pack ?? pack)
    using opened = openData(at.index)
    using packed = openData(at.pack)
    if (!opened || !packed) throw new Error('not there')
    const found = readPacked({ index: opened, pack: packed, inflate }, Buffer.from(ID, 'hex'))
    if (found) expect(found.length).toBeLessThanOrEqual(1024 * 1024)
    return found
  }
  expect((await find({}))?.toString()).toContain('tree ')
  await holds(mutatedBytes(index), (changed) => find({ index: changed }), { share: 5 })
  await holds(mutatedBytes(pack), (changed) => find({ pack: changed }), { share: 5 })
})

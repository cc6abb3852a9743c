import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { readContext } from '../../src/context/context.ts'
import { ContextWatch } from '../../src/context/watch.ts'
import type { ClaimedContext } from '../../src/protocol/request.ts'
import { temporaryFolder } from '../folder.ts'
import { git, repository, write } from './repositories.ts'

const watches: Disposable[] = []
afterEach(() => {
  for (const watch of watches.splice(0)) watch[Symbol.dispose]()
})

/** What a watch tells, in order. */
async function watched(directory: string, known?: ClaimedContext): Promise<ClaimedContext[]> {
  const told: ClaimedContext[] = []
  const from = known ?? (await readContext(directory)).claimed
  watches.push(
    new ContextWatch({ directory, known: from, changed: (claimed) => void told.push(claimed) }),
  )
  return told
}

/** Less than it takes until it is looked without a sign. */
const BY_SIGN = { timeout: 2000, interval: 20 }

describe('where a command stands while it runs', () => {
  it('a switch to another branch is told at once, and so is the way back', async () => {
    const root = repository()
    const told = await watched(join(root, 'd'))
    git(root, 'switch', '-q', '-c', 'feature/x')
    await expect.poll(() => told.map(({ branch }) => branch), BY_SIGN).toEqual(['feature/x'])
    git(root, 'switch', '-q', 'main')
    await expect
      .poll(() => told.map(({ branch }) => branch), BY_SIGN)
      .toEqual(['feature/x', 'main'])
  })

  it('a commit is told, on a branch in a folder of its own as well', async () => {
    const root = repository()
    const told = await watched(root)
    git(root, 'commit', '-q', '--allow-empty', '-m', 'second')
    await expect.poll(() => told.at(-1)?.commit, BY_SIGN).toBe(git(root, 'rev-parse', 'HEAD'))
    git(root, 'switch', '-q', '-c', 'feature/x')
    await expect.poll(() => told.at(-1)?.branch, BY_SIGN).toBe('feature/x')
    git(root, 'commit', '-q', '--allow-empty', '-m', 'third')
    await expect.poll(() => told.at(-1)?.commit, BY_SIGN).toBe(git(root, 'rev-parse', 'HEAD'))
    expect(told).toHaveLength(3)
  })

  it('a detached HEAD has no branch', async () => {
    const root = repository()
    const told = await watched(root)
    git(root, 'checkout', '-q', '--detach')
    await expect.poll(() => told.at(-1)?.branch, BY_SIGN).toBe('')
  })

  it("another address of the remote is told as the other repository's", async () => {
    const root = repository()
    git(root, 'remote', 'add', 'origin', 'git@github.com:acme/shop.git')
    const told = await watched(root)
    git(root, 'remote', 'set-url', 'origin', 'git@github.com:mallory/shop.git')
    await expect.poll(() => told.at(-1)?.repository, BY_SIGN).toBe('github.com/mallory/shop')
  })

  it("a worktree's own HEAD counts, and the configuration that it shares", async () => {
    const root = repository()
    const tree = join(temporaryFolder('context'), 'tree')
    git(root, 'worktree', 'add', '-q', '-b', 'other', tree)
    const told = await watched(tree)
    git(root, 'switch', '-q', '-c', 'elsewhere')
    git(tree, 'switch', '-q', '-c', 'here')
    await expect.poll(() => told.map(({ branch }) => branch), BY_SIGN).toEqual(['here'])
    git(root, 'remote', 'add', 'origin', 'https://github.com/acme/shop')
    await expect.poll(() => told.at(-1)?.repository, BY_SIGN).toBe('github.com/acme/shop')
  })

  it('a repository that is removed is nowhere; one made there again is told as well', async () => {
    const root = repository()
    const told = await watched(root)
    rmSync(join(root, '.git'), { recursive: true })
    const nowhere = { repository: '', branch: '', commit: '', dirty: false }
    await expect.poll(() => told.at(-1)).toEqual(nowhere)
    git(root, 'init', '-q', '-b', 'fresh')
    await expect.poll(() => told.at(-1)?.branch).toBe('fresh')
  })

  it('a removed folder is nowhere', async () => {
    const root = repository()
    const told = await watched(join(root, 'd'))
    renameSync(root, `${root}-gone`)
    await expect.poll(() => told.at(-1)?.commit).toBe('')
    rmSync(`${root}-gone`, { recursive: true })
  })

  it('what changed before it was watched is told: a request may have waited for long', async () => {
    const root = repository()
    const { claimed } = await readContext(root)
    git(root, 'switch', '-q', '-c', 'meanwhile')
    const told = await watched(root, claimed)
    await expect.poll(() => told.map(({ branch }) => branch), BY_SIGN).toEqual(['meanwhile'])
  })

  it('a git directory that is exchanged without a sign is found by looking', async () => {
    const folder = temporaryFolder('context')
    const told = await watched(folder)
    const made = repository()
    renameSync(join(made, '.git'), join(folder, '.git'))
    await expect.poll(() => told.at(-1)?.branch).toBe('main')
  })

  it('files, the index and other branches are no change', async () => {
    const root = repository()
    const told = await watched(root)
    write(root, { 'a.txt': 'changed' })
    git(root, 'add', '.')
    git(root, 'branch', 'other')
    git(root, 'tag', 'v1')
    git(root, 'pack-refs', '--all')
    // A sign that is a change comes after all that isn't.
    git(root, 'switch', '-q', 'other')
    await expect.poll(() => told.at(-1)?.branch, BY_SIGN).toBe('other')
    expect(told).toHaveLength(1)
    expect(told[0]?.dirty).toBe(true)
  })

  it('nothing of a repository is run, and a hostile one is only another place', async () => {
    const root = repository()
    const told = await watched(root)
    const ran = join(temporaryFolder('context'), 'ran')
    writeFileSync(
      join(root, '.git', 'config'),
      `[core]\n\tfsmonitor = touch ${ran}\n\tpager = touch ${ran}\n[remote "origin"]\n\turl = ext::touch ${ran}\n`,
    )
    writeFileSync(join(root, '.git', 'HEAD'), 'ref: refs/../../../etc/passwd\n')
    await expect.poll(() => told.at(-1)?.branch, BY_SIGN).toBe('')
    expect(() => mkdirSync(ran)).not.toThrow()
  })

  it('after it was stopped nothing is told', async () => {
    const root = repository()
    const told = await watched(root)
    watches[0]?.[Symbol.dispose]()
    const second = await watched(root)
    git(root, 'switch', '-q', '-c', 'later')
    await expect.poll(() => second.length, BY_SIGN).toBe(1)
    await wait(50)
    expect(told).toEqual([])
  })
})

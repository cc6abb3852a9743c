import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readContext } from '../../src/context/context.ts'
import { temporaryFolder } from '../folder.ts'
import { git, repository, write } from './repositories.ts'

const claimed = async (directory: string) => (await readContext(directory)).claimed
const head = (directory: string) => git(directory, 'rev-parse', 'HEAD')
const objectFiles = (root: string) =>
  readdirSync(join(root, '.git', 'objects'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /^[0-9a-f]{38}$|\.(?:pack|idx)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
const NOWHERE = { repository: '', branch: '', commit: '', dirty: false }

describe('where a person stands', () => {
  it('is nowhere outside any repository, in a bare one, and where there is no folder', async () => {
    const folder = temporaryFolder('context')
    expect(await readContext(folder)).toEqual({ claimed: NOWHERE })
    git(folder, 'init', '-q', '--bare', 'bare.git')
    expect(await claimed(join(folder, 'bare.git'))).toEqual(NOWHERE)
    expect(await claimed(join(folder, 'nope'))).toEqual(NOWHERE)
  })

  it('is branch and commit, from any folder below', async () => {
    const root = repository()
    git(root, 'remote', 'add', 'origin', 'git@github.com:acme/shop.git')
    const expected = {
      root,
      claimed: {
        repository: 'github.com/acme/shop',
        branch: 'main',
        commit: head(root),
        dirty: false,
      },
    }
    expect(await readContext(root)).toEqual(expected)
    expect(await readContext(join(root, 'd', 'e'))).toEqual(expected)
  })

  it('has a branch and no commit before the first one', async () => {
    const root = temporaryFolder('context')
    git(root, 'init', '-q', '-b', 'feature/new')
    expect(await claimed(root)).toEqual({ ...NOWHERE, branch: 'feature/new' })
    write(root, { 'a.txt': 'a' })
    git(root, 'add', '.')
    expect((await claimed(root)).dirty).toBe(true)
  })

  it('has no branch when detached', async () => {
    const root = repository()
    git(root, 'checkout', '-q', '--detach')
    expect(await claimed(root)).toEqual({ ...NOWHERE, commit: head(root) })
  })

  it('is found with packed refs and packed objects', async () => {
    const root = repository()
    for (let i = 0; i < 30; i++)
      git(root, 'commit', '-q', '--allow-empty', '-m', `${'long '.repeat(50)}${i}`)
    git(root, 'pack-refs', '--all')
    git(root, 'gc', '-q', '--aggressive', '--prune=now')
    expect(await claimed(root)).toEqual({ ...NOWHERE, branch: 'main', commit: head(root) })
    // Older ones are stored as deltas.
    for (const back of [1, 5, 15, 29]) {
      git(root, 'checkout', '-q', '--detach', `main~${back}`)
      expect(await claimed(root)).toEqual({ ...NOWHERE, commit: head(root) })
    }
  })

  it('is that of the worktree stood in', async () => {
    const root = repository()
    git(root, 'remote', 'add', 'origin', 'https://example.com/acme/shop')
    const other = join(temporaryFolder('context'), 'other')
    git(root, 'worktree', 'add', '-q', '-b', 'side', other)
    git(other, 'commit', '-q', '--allow-empty', '-m', 'second')
    const there = await readContext(other)
    expect(there.root).toBe(other)
    expect(there.claimed).toEqual({
      repository: 'example.com/acme/shop',
      branch: 'side',
      commit: head(other),
      dirty: false,
    })
    expect((await claimed(root)).branch).toBe('main')
    write(other, { 'a.txt': 'changed\n' })
    expect((await claimed(other)).dirty).toBe(true)
    expect((await claimed(root)).dirty).toBe(false)
  })

  it('is that of the submodule stood in, and its commit is part of what surrounds it', async () => {
    const inner = repository()
    const root = repository()
    git(root, 'submodule', '-q', 'add', inner, 'vendor/inner')
    git(root, 'commit', '-q', '-m', 'submodule')
    const below = join(root, 'vendor', 'inner')
    expect((await readContext(below)).root).toBe(below)
    expect((await claimed(below)).commit).toBe(head(inner))
    expect((await claimed(root)).dirty).toBe(false)
    git(below, 'commit', '-q', '--allow-empty', '-m', 'ahead')
    expect((await claimed(root)).dirty).toBe(true)
    git(root, 'submodule', '-q', 'update')
    git(root, 'submodule', '-q', 'deinit', 'vendor/inner')
    expect((await claimed(root)).dirty).toBe(git(root, 'status', '--porcelain', '-uno') !== '')
  })

  it('is read with SHA-256 ids too', async () => {
    const root = repository('--object-format=sha256')
    const before = await claimed(root)
    expect(before).toEqual({ ...NOWHERE, branch: 'main', commit: head(root) })
    expect(before.commit).toHaveLength(64)
    git(root, 'gc', '-q')
    expect(await claimed(root)).toEqual(before)
    write(root, { 'b.txt': 'x\n' })
    expect((await claimed(root)).dirty).toBe(true)
  })

  it('finds what a clone borrows from another', async () => {
    const root = repository()
    git(root, 'gc', '-q')
    const clone = join(temporaryFolder('context'), 'clone')
    git(root, 'clone', '-q', '--shared', root, clone)
    expect(await claimed(clone)).toMatchObject({ commit: head(root), dirty: false })
  })

  it('is found through a .git that is a link or lies elsewhere', async () => {
    const root = repository()
    const elsewhere = join(temporaryFolder('context'), 'git-data')
    renameSync(join(root, '.git'), elsewhere)
    symlinkSync(elsewhere, join(root, '.git'))
    expect(await claimed(root)).toMatchObject({ branch: 'main', dirty: false })
    rmSync(join(root, '.git'))
    writeFileSync(join(root, '.git'), `gitdir: ${elsewhere}\n`)
    expect(await claimed(root)).toMatchObject({ branch: 'main', dirty: false })
  })
})

describe('the repository’s name', () => {
  const named = async (...commands: string[][]) => {
    const root = repository()
    for (const command of commands) git(root, ...command)
    return (await claimed(root)).repository
  }
  const add = (name: string, url: string) => ['remote', 'add', name, url]

  it('is of the remote that the branch follows, then of origin, then of the only one', async () => {
    const origin = add('origin', 'https://example.com/acme/origin')
    const fork = add('fork', 'https://example.com/me/fork')
    expect(await named(fork, origin)).toBe('example.com/acme/origin')
    expect(await named(fork)).toBe('example.com/me/fork')
    const follows = ['config', 'branch.main.remote', 'fork']
    expect(await named(origin, fork, follows)).toBe('example.com/me/fork')
    expect(await named(origin, ['config', 'branch.main.remote', '.'])).toBe(
      'example.com/acme/origin',
    )
    expect(await named(fork, add('other', 'https://example.com/x/y'))).toBe('')
  })

  it('never comes from a file that the configuration includes', async () => {
    const root = repository()
    write(root, { 'more.cfg': '[remote "origin"]\n\turl = https://example.com/evil/evil\n' })
    git(root, 'config', 'include.path', '../more.cfg')
    expect(git(root, 'remote')).toBe('origin')
    expect((await claimed(root)).repository).toBe('')
  })

  it('is the first of several URLs, as git fetches', async () => {
    expect(
      await named(add('origin', 'https://example.com/a/a'), [
        'remote',
        'set-url',
        '--add',
        'origin',
        'https://example.com/b/b',
      ]),
    ).toBe('example.com/a/a')
  })
})

describe('a repository made to mislead', () => {
  it.each([
    ['a chain of refs without an end', { '.git/refs/heads/main': 'ref: refs/heads/main\n' }],
    ['a ref outside refs/', { '.git/HEAD': 'ref: ../../../etc/passwd\n' }],
    ['a HEAD that is neither', { '.git/HEAD': 'hello\n' }],
    ['refs in a table', { '.git/HEAD': 'ref: refs/heads/.invalid\n' }],
    ['an empty HEAD', { '.git/HEAD': '' }],
    ['a branch with characters a terminal obeys', { '.git/HEAD': 'ref: refs/heads/a\u001b[31m\n' }],
  ])('has no commit with %s', async (_, files) => {
    const root = repository()
    write(root, files)
    expect((await claimed(root)).commit).toBe('')
  })

  it('is dirty with an index that can’t be read', async () => {
    for (const content of ['', 'DIRC', 'DIRC\0\0\0\x02\xff\xff\xff\xff', 'nonsense'.repeat(100)]) {
      const root = repository()
      writeFileSync(join(root, '.git', 'index'), content, 'latin1')
      expect((await claimed(root)).dirty).toBe(true)
    }
  })

  it('isn’t waited for at a pipe or a folder in the place of a file', async () => {
    const root = repository()
    const config = join(root, '.git', 'config')
    rmSync(config)
    const { execFileSync } = await import('node:child_process')
    execFileSync('mkfifo', [config])
    expect((await claimed(root)).branch).toBe('main')
    rmSync(join(root, '.git', 'HEAD'))
    mkdirSync(join(root, '.git', 'HEAD'))
    expect(await claimed(root)).toEqual(NOWHERE)
  })

  it('damaged anywhere in its objects never throws', async () => {
    const loose = repository()
    const packed = repository()
    for (let i = 0; i < 12; i++) {
      git(packed, 'commit', '-q', '--allow-empty', '-m', `${'long '.repeat(50)}${i}`)
    }
    git(packed, 'gc', '-q', '--aggressive')
    git(packed, 'checkout', '-q', '--detach', 'HEAD~8')
    for (const root of [loose, packed]) {
      for (const path of objectFiles(root)) {
        const good = readFileSync(path)
        chmodSync(path, 0o644)
        for (let i = 0; i < 40; i++) {
          const bad = Buffer.from(good)
          for (let j = 0; j < 1 + (i % 3); j++) {
            const at = (i * 7919 + j * 104_729) % bad.length
            bad[at] = (bad[at] ?? 0) ^ (1 + ((i * 31) % 255))
          }
          writeFileSync(path, i % 4 === 0 ? bad.subarray(0, (i * 977) % bad.length) : bad)
          expect(typeof (await claimed(root)).dirty).toBe('boolean')
        }
        writeFileSync(path, good)
      }
      expect((await claimed(root)).dirty).toBe(false)
    }
  })

  it.each([
    ['.git/HEAD', { branch: '', commit: '', repository: '' }],
    ['.git/config', { repository: '' }],
    ['.git/refs', { commit: '' }],
    ['.git/refs/heads/main', { commit: '' }],
    ['.git/index', { dirty: true }],
    ['.git/objects', { dirty: true }],
  ])('through a link in the place of %s is not read', async (part, told) => {
    const root = repository()
    git(root, 'remote', 'add', 'origin', 'https://example.com/acme/shop.git')
    const elsewhere = join(temporaryFolder('context'), 'part')
    renameSync(join(root, part), elsewhere)
    symlinkSync(elsewhere, join(root, part))
    expect(await claimed(root)).toMatchObject(told)
  })

  it('takes no folder for shared but the one above its own', async () => {
    const root = repository()
    git(root, 'remote', 'add', 'origin', 'https://example.com/acme/shop.git')
    const other = repository()
    git(other, 'remote', 'add', 'origin', 'https://example.com/acme/other.git')
    writeFileSync(join(root, '.git/commondir'), `${join(other, '.git')}\n`)
    expect((await claimed(root)).repository).toBe('example.com/acme/shop')
  })

  it('can’t point at itself for ever', async () => {
    const root = temporaryFolder('context')
    writeFileSync(join(root, '.git'), 'gitdir: .git\n')
    expect(await claimed(root)).toEqual(NOWHERE)
    rmSync(join(root, '.git'))
    symlinkSync('.git', join(root, '.git'))
    expect(await claimed(root)).toEqual(NOWHERE)
  })
})

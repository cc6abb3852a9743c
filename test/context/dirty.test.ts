import {
  chmodSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readContext } from '../../src/context/context.ts'
import { temporaryFolder } from '../folder.ts'
import { git, repository, write } from './repositories.ts'

/** What jit says first: git refreshes the index. */
async function compare(root: string): Promise<{ jit: boolean; git: boolean }> {
  const jit = (await readContext(root)).claimed.dirty
  return { jit, git: git(root, 'status', '--porcelain', '--untracked-files=no') !== '' }
}

type Change = (root: string) => void

const CLEAN: [string, Change][] = [
  ['nothing', () => {}],
  ['an untracked file', (root) => write(root, { 'new.txt': 'x' })],
  ['an ignored file', (root) => write(root, { 'x.log': 'x' })],
  ['the same content written again', (root) => write(root, { 'a.txt': 'a\n' })],
  ['another time on a file', (root) => utimesSync(join(root, 'a.txt'), 1, 1)],
  [
    'a change added and taken back',
    (root) => {
      write(root, { 'a.txt': 'x\n' })
      git(root, 'add', '.')
      git(root, 'reset', '-q', '--hard')
    },
  ],
  ['a branch moved', (root) => void git(root, 'checkout', '-q', '-b', 'other')],
  ['an index of version 4', (root) => void git(root, 'update-index', '--index-version', '4')],
  [
    'a file assumed unchanged',
    (root) => {
      git(root, 'update-index', '--assume-unchanged', 'a.txt')
      write(root, { 'a.txt': 'other\n' })
    },
  ],
  ['a sparse checkout', (root) => void git(root, 'sparse-checkout', 'set', '--cone', 'd')],
  [
    'a sparse index',
    (root) => void git(root, 'sparse-checkout', 'set', '--cone', '--sparse-index', 'd'),
  ],
  [
    'modes that are not looked at',
    (root) => {
      git(root, 'config', 'core.fileMode', 'false')
      chmodSync(join(root, 'a.txt'), 0o755)
    },
  ],
  [
    'names of every kind',
    (root) => {
      write(root, {
        'ü/ö.txt': '1',
        'a/b': '2',
        'a-b': '3',
        'a.b/c': '4',
        a0: '5',
        'sp ace/"q"': '6',
      })
      git(root, 'add', '.')
      git(root, 'commit', '-q', '-m', 'names')
    },
  ],
  [
    'links, and programs',
    (root) => {
      symlinkSync('/etc/passwd', join(root, 'link'))
      write(root, { 'run.sh': 'true' })
      chmodSync(join(root, 'run.sh'), 0o755)
      git(root, 'add', '.')
      git(root, 'commit', '-q', '-m', 'kinds')
    },
  ],
  [
    'everything removed and committed',
    (root) => {
      git(root, 'rm', '-q', '-r', '.')
      git(root, 'commit', '-q', '-m', 'empty')
    },
  ],
]

const DIRTY: [string, Change][] = [
  ['a file changed', (root) => write(root, { 'a.txt': 'changed\n' })],
  ['a file changed to the same size', (root) => write(root, { 'a.txt': 'A\n' })],
  ['a file gone', (root) => rmSync(join(root, 'd', 'e', 'f.txt'))],
  ['a folder gone', (root) => rmSync(join(root, 'd'), { recursive: true })],
  ['a file made a program', (root) => chmodSync(join(root, 'a.txt'), 0o755)],
  [
    'a file made a link',
    (root) => {
      unlinkSync(join(root, 'a.txt'))
      symlinkSync('b.txt', join(root, 'a.txt'))
    },
  ],
  [
    'a file made a folder',
    (root) => {
      unlinkSync(join(root, 'a.txt'))
      write(root, { 'a.txt/x': 'x' })
    },
  ],
  [
    'a folder made a link to one just like it',
    (root) => {
      const elsewhere = join(temporaryFolder('context'), 'd')
      renameSync(join(root, 'd'), elsewhere)
      symlinkSync(elsewhere, join(root, 'd'))
    },
  ],
  [
    'a change added',
    (root) => {
      write(root, { 'a.txt': 'changed\n' })
      git(root, 'add', '.')
    },
  ],
  [
    'a new file added',
    (root) => {
      write(root, { 'z.txt': 'z\n' })
      git(root, 'add', '.')
    },
  ],
  [
    'a file to be added',
    (root) => {
      write(root, { 'z.txt': 'z\n' })
      git(root, 'add', '-N', 'z.txt')
    },
  ],
  ['a file removed from the index', (root) => void git(root, 'rm', '-q', '--cached', 'a.txt')],
  [
    'a change added, then undone in the file alone',
    (root) => {
      write(root, { 'a.txt': 'changed\n' })
      git(root, 'add', '.')
      write(root, { 'a.txt': 'a\n' })
    },
  ],
  [
    'a soft reset',
    (root) => {
      write(root, { 'a.txt': 'second\n' })
      git(root, 'commit', '-q', '-a', '-m', 'second')
      git(root, 'reset', '-q', '--soft', 'HEAD~1')
    },
  ],
  [
    'a conflict',
    (root) => {
      git(root, 'checkout', '-q', '-b', 'side')
      write(root, { 'a.txt': 'side\n' })
      git(root, 'commit', '-q', '-a', '-m', 'side')
      git(root, 'checkout', '-q', 'main')
      write(root, { 'a.txt': 'main\n' })
      git(root, 'commit', '-q', '-a', '-m', 'main')
      expect(() => git(root, 'merge', '-q', 'side')).toThrow()
    },
  ],
  ['an index gone', (root) => rmSync(join(root, '.git', 'index'))],
]

const changed = (change: Change, packed: boolean): string => {
  const root = repository()
  write(root, { '.gitignore': '*.log\n' })
  git(root, 'add', '.')
  git(root, 'commit', '-q', '-m', 'ignore')
  if (packed) git(root, 'gc', '-q')
  change(root)
  return root
}

describe('dirty is what git says of tracked files', () => {
  it.each(CLEAN)('clean with %s', async (_, change) => {
    expect(await compare(changed(change, false))).toEqual({ jit: false, git: false })
  })

  it.each(DIRTY)('dirty with %s', async (_, change) => {
    expect(await compare(changed(change, true))).toEqual({ jit: true, git: true })
  })

  it('dirty with an index in two files, which isn’t read', async () => {
    const root = changed((root) => void git(root, 'update-index', '--split-index'), false)
    expect((await readContext(root)).claimed.dirty).toBe(true)
  })

  it('dirty with a file changed to the same size and time: the change itself has a time', async () => {
    const root = changed((root) => {
      const time = new Date(1_700_000_000_000)
      utimesSync(join(root, 'a.txt'), time, time)
      git(root, 'update-index', '--refresh')
      write(root, { 'a.txt': 'A\n' })
      utimesSync(join(root, 'a.txt'), time, time)
    }, false)
    expect((await readContext(root)).claimed.dirty).toBe(true)
  })

  it('leaves the index as it is', async () => {
    const root = changed((root) => utimesSync(join(root, 'a.txt'), 1, 1), false)
    const before = readFileSync(join(root, '.git', 'index'))
    await readContext(root)
    expect(readFileSync(join(root, '.git', 'index'))).toEqual(before)
  })

  it('runs no filter that the repository names', async () => {
    const root = changed((root) => {
      const mark = join(root, 'filter-ran')
      git(root, 'config', 'filter.evil.clean', `touch ${mark}; cat`)
      git(root, 'config', 'core.fsmonitor', `touch ${mark}`)
      writeFileSync(join(root, '.gitattributes'), '* filter=evil\n')
      write(root, { 'a.txt': 'A\n' })
    }, false)
    expect((await readContext(root)).claimed.dirty).toBe(true)
    expect(() => readFileSync(join(root, 'filter-ran'))).toThrow()
  })
})

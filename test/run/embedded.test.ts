import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { watchEmbedded } from '../../src/run/embedded.ts'
import { temporaryFolder } from '../folder.ts'

test('a repository that comes into the index of another is told once', () => {
  const root = temporaryFolder('embedded')
  const git = (directory: string, ...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b.c', ...args], {
      cwd: directory,
      stdio: 'ignore',
    })
  const embed = (name: string) => {
    git(root, 'init', '-q', name)
    git(join(root, name), 'commit', '-q', '--allow-empty', '-m', 'x')
    git(root, 'add', name)
  }
  git(root, 'init', '-q')
  embed('known')
  const told: string[] = []
  using watch = watchEmbedded({ root, gitDir: join(root, '.git') }, (path) => told.push(path))
  watch.look()
  embed('new')
  watch.look()
  git(root, 'commit', '-q', '-m', 'x')
  watch.look()
  expect(told).toEqual([join(root, 'new')])
})

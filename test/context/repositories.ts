import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporaryFolder } from '../folder.ts'

/** The real git, with nobody's configuration. */
export function git(directory: string, ...args: string[]): string {
  return execFileSync('git', args, {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      HOME: '/nonexistent',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_AUTHOR_NAME: 'a',
      GIT_AUTHOR_EMAIL: 'a@example.com',
      GIT_COMMITTER_NAME: 'a',
      GIT_COMMITTER_EMAIL: 'a@example.com',
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'protocol.file.allow',
      GIT_CONFIG_VALUE_0: 'always',
    },
  }).trim()
}

export function write(directory: string, files: Record<string, string>): void {
  for (const [name, content] of Object.entries(files)) {
    const path = join(directory, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
  }
}

/** A repository with one commit of a few files, on branch `main`. */
export function repository(...initArguments: string[]): string {
  const directory = temporaryFolder('context')
  git(directory, 'init', '-q', '-b', 'main', ...initArguments)
  write(directory, { 'a.txt': 'a\n', 'b.txt': 'b\n', 'd/e/f.txt': 'f\n', 'd.txt': 'd\n' })
  git(directory, 'add', '.')
  git(directory, 'commit', '-q', '-m', 'first')
  return directory
}

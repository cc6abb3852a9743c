import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Where one repository is set up. */
export interface Place {
  /** The repository. */
  readonly root: string
  /** A file that any of its programs would make. */
  readonly canary: string
  /** A folder that is none of its business; `loot` in it is a file. */
  readonly outside: string
}

/** What a repository tries with whoever stands in it. */
export interface Trick {
  readonly name: string
  build(place: Place): void
  /** Folder to stand in, from the top. */
  readonly within?: string
  /** Beside what is outside: what may not be opened. */
  readonly forbidden?: readonly string[]
  /** Whether its `.jit.yaml` can be trusted: what it asks for isn't more than may be asked. */
  readonly trustable?: boolean
}

/** A program that leaves the canary. */
export const program = ({ canary }: Place) => `#!/bin/sh\ntouch ${canary}\nexit 1\n`

/** Writes files, by their path from the top. */
export function put(place: Place, files: Readonly<Record<string, string | Buffer>>): void {
  for (const [name, content] of Object.entries(files)) {
    const path = join(place.root, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
  }
}

/** Writes programs. */
export function putPrograms(place: Place, names: readonly string[]): void {
  for (const name of names) {
    put(place, { [name]: program(place) })
    chmodSync(join(place.root, name), 0o755)
  }
}

/** Puts a link there, in the place of what was. */
export function link(place: Place, name: string, target: string): void {
  const path = join(place.root, name)
  execFileSync('rm', ['-rf', path])
  mkdirSync(dirname(path), { recursive: true })
  symlinkSync(target, path)
}

/** The real git, in the repository, with nobody's configuration. */
export function git({ root }: Pick<Place, 'root'>, ...args: string[]): string {
  return execFileSync('git', ['-c', 'core.hooksPath=/dev/null', ...args], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...{ PATH: process.env.PATH, HOME: '/nonexistent', GIT_CONFIG_NOSYSTEM: '1' },
      ...{ GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@b', GIT_COMMITTER_NAME: 'a' },
      GIT_COMMITTER_EMAIL: 'a@b',
    },
  }).trim()
}

/** A repository as any other: one commit on `main`, and a remote. */
export function ordinary(place: Place): void {
  mkdirSync(place.root, { recursive: true })
  git(place, 'init', '-q', '-b', 'main')
  put(place, { 'README.md': 'shop\n', 'src/main.tf': 'terraform {}\n' })
  git(place, 'add', '.')
  git(place, 'commit', '-q', '-m', 'first')
  git(place, 'remote', 'add', 'origin', 'https://example.com/acme/shop.git')
}

/** Adds to the repository's own configuration. */
export function configure(place: Place, text: string): void {
  execFileSync('sh', ['-c', 'cat >> .git/config'], { cwd: place.root, input: `\n${text}\n` })
}

import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fileRules } from '../../src/sandbox/files.ts'
import { temporaryFolder } from '../folder.ts'

const base = temporaryFolder('files')
const home = join(base, 'home')
const repository = join(base, 'shop')
const at = (...names: string[]) => join(home, ...names)
const program = (path: string) => {
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, '#!/bin/sh\n')
  chmodSync(path, 0o755)
  return path
}
const PARTS = {
  bwrap: '',
  socat: '',
  ripgrep: '',
  bash: '',
  helper: '',
  entry: '',
  caretaker: '',
  packages: [],
  code: [join(repository, 'node_modules')],
}

function rules(executable: string, environment: Record<string, string> = {}) {
  return fileRules({
    command: { argv: [executable], directory: repository, executable },
    environment: { HOME: home, ...environment },
    profile: { readable: [], writable: [], hidden: [], readOnly: [], environment: [] },
    parts: PARTS,
    visible: [],
  })
}
mkdirSync(home)
mkdirSync(repository)

test('the home is hidden, and this program’s folders wherever the variables point', () => {
  const elsewhere = join(base, 'data')
  mkdirSync(join(elsewhere, 'jit'), { recursive: true })
  const { hidden, writable } = rules('/bin/sh', {
    XDG_DATA_HOME: elsewhere,
    KUBECONFIG: `/none:${program(join(base, 'kube'))}`,
  })
  expect(hidden).toEqual(
    expect.arrayContaining([
      home,
      elsewhere,
      join(elsewhere, 'jit'),
      join(base, 'kube'),
      '/tmp',
      '/run',
    ]),
  )
  expect(writable).toEqual([repository])
})

test('a copilot has its own state to write, without what it would run the next time; others’ stays hidden', () => {
  for (const name of ['.claude', '.codex', '.gemini']) mkdirSync(at(name), { recursive: true })
  const { writable, guarded, readable } = rules(program(at('.local/bin/claude')))
  expect(writable).toEqual([repository, at('.claude')])
  expect(guarded).toEqual(
    expect.arrayContaining([at('.claude/settings.json'), at('.claude/hooks')]),
  )
  expect(readable.filter((path) => path.startsWith(at('.codex')))).toEqual([])
})

test('of a home only toolchains, folders of programs on PATH and the package that runs are readable', () => {
  const cli = program(at('lib/tool/node_modules/@acme/agent/cli.js'))
  mkdirSync(at('bin'), { recursive: true })
  symlinkSync(cli, at('bin/agent'))
  program(at('.pyenv/shims/python'))
  mkdirSync(at('.cargo/registry'), { recursive: true })
  const { readable } = rules(at('bin/agent'), {
    PATH: [at('bin'), at('.pyenv/shims'), at('notes'), home, 'bin', '/usr/bin'].join(':'),
  })
  const own = readable.filter((path) => path.startsWith(home))
  expect(own.sort()).toEqual(
    [
      at('bin'),
      cli,
      at('lib/tool/node_modules'),
      at('.pyenv'),
      at('.pyenv/shims'),
      at('.local/bin'),
    ].sort(),
  )
})

test('a link to a program is mounted where no readable folder shows it, and else left as it is', () => {
  const cli = program(at('src/agent/run'))
  for (const folder of ['bin', 'links']) {
    mkdirSync(at(folder), { recursive: true })
    symlinkSync(cli, at(folder, 'linked'))
  }
  const readable = (folder: string) => rules(at(folder, 'linked'), { PATH: at('bin') }).readable
  expect(readable('links')).toEqual(expect.arrayContaining([at('links/linked'), cli]))
  expect(readable('bin')).toEqual(expect.arrayContaining([at('bin'), cli]))
  expect(readable('bin')).not.toContain(at('bin/linked'))
})

test('where this program is a package of the repository, what it runs outside stays as it is', () => {
  expect(rules('/bin/sh').guarded).toContain(join(repository, 'node_modules'))
})

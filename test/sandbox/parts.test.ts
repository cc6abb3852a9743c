import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { JitError } from '../../src/lib/errors.ts'
import { checkSandbox, findParts } from '../../src/sandbox/parts.ts'
import { temporaryFolder } from '../folder.ts'

/** A folder of programs that do as `script` says. */
function programs(names: readonly string[], script = 'exit 0'): string {
  const folder = join(temporaryFolder('parts'), 'bin')
  mkdirSync(folder)
  for (const name of names)
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return folder
}

function thrown(check: () => unknown): JitError {
  try {
    check()
  } catch (error) {
    return JitError.from(error)
  }
  throw new Error('it was content')
}

test('what is missing is named in one line, and how to install it', () => {
  const folder = programs(['socat', 'bash'])
  const error = thrown(() => checkSandbox({ PATH: folder }, '/none', []))
  expect(error).toMatchObject({
    code: 'sandbox_unavailable',
    message: 'a sandbox needs bubblewrap, ripgrep',
    hint: 'install it first, such as with: sudo apt-get install bubblewrap ripgrep',
  })
})

test('a kernel that forbids it is told apart, with what bubblewrap said', () => {
  const folder = programs(
    ['bwrap', 'socat', 'rg', 'bash'],
    'echo "bwrap: No permissions to create new namespace" >&2; exit 1',
  )
  const error = thrown(() => checkSandbox({ PATH: folder }, '/none', []))
  expect(error.code).toBe('sandbox_unavailable')
  expect(error.message).toContain('No permissions to create new namespace')
  expect(error.hint).toContain('user namespaces')
})

test('a program that the repository brings is no part of a sandbox, nor one of a relative folder', () => {
  const own = programs(['bwrap', 'socat', 'rg', 'bash'])
  const system = programs(['bwrap', 'socat', 'rg', 'bash'])
  expect(findParts({ PATH: `${own}:bin:${system}` }, join(own, '..'), [])).toMatchObject({
    bwrap: join(system, 'bwrap'),
    bash: join(system, 'bash'),
    code: expect.arrayContaining([resolve('node_modules'), resolve('src')]),
  })
})

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { includedIn } from '../../src/sandbox/git-includes.ts'

test('what git’s settings include counts where it can be written, whatever the condition', () => {
  const root = mkdtempSync(join(tmpdir(), 'jit-includes-'))
  try {
    const config = join(root, 'config')
    writeFileSync(
      config,
      `[core]
\tpath = not-included
[include]
\tpath = shared/git.inc
\tpath = "with space"
[includeIf "onbranch:main"]
\tpath=../outside
\tpath = ${root}/absolute
[Include] path = one-line
[remote "x"]
\tpath = neither
`,
    )
    expect(includedIn([config, join(root, 'missing')], root)).toEqual(
      ['shared/git.inc', 'with space', 'absolute', 'one-line'].map((path) => join(root, path)),
    )
  } finally {
    rmSync(root, { recursive: true })
  }
})

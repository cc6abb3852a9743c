import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')

it('the built jit trusts the .jit.yaml that the guide shows', async () => {
  const guide = await readFile(join(ROOT, 'docs', 'getting-started.md'), 'utf8')
  const [, profiles = ''] = /```yaml profile\n([\s\S]*?)```/.exec(guide) ?? []
  const home = await mkdtemp(join(tmpdir(), 'jit-test-'))
  try {
    await writeFile(join(home, '.jit.yaml'), profiles)
    const jit = join(ROOT, 'bin', 'jit.js')
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [jit, 'trust', '--yes', '--json'],
      { cwd: home, env: { PATH: process.env.PATH, HOME: home } },
    )
    expect(JSON.parse(stdout)).toMatchObject({ trusted: true })
  } finally {
    await rm(home, { recursive: true, force: true })
  }
})

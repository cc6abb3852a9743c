import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { absent } from '../absent.ts'
import { ROOT } from '../docs/pages.ts'

test.skipIf(absent('groff'))('the manual page is one that groff has nothing to say about', () => {
  const options = { cwd: ROOT, encoding: 'utf8' } as const
  const { status, stderr } = spawnSync('groff', ['-man', '-ww', '-z', 'man/jit.1'], options)
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const { stdout } = spawnSync('groff', ['-man', '-Tascii', '-P-cbou', 'man/jit.1'], options)
  for (const said of ['jit policy check', '--no-wait', 'JIT_BROKER', 'config.yaml', '125']) {
    expect(stdout).toContain(said)
  }
})

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { absent } from '../absent.ts'
import { ROOT } from './pages.ts'

const UNIT = 'examples/systemd/jit-broker.service'

describe.skipIf(absent('systemd-analyze'))(`${UNIT} (needs systemd-analyze)`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'jit-unit-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'jit-broker.service')
  // What it starts has to be there.
  const text = readFileSync(join(ROOT, UNIT), 'utf8')
  writeFileSync(file, text.replace('/usr/bin/jit ', '/bin/true '))

  const analyze = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync('systemd-analyze', [...args, file])
    return { status, said: `${stdout}${stderr}` }
  }

  test('systemd understands every line of it', () => {
    expect(analyze('verify')).toEqual({ status: 0, said: '' })
  })

  test('what it may do is little: an exposure of 2 out of 10 at most, as systemd counts', () => {
    const { status, said } = analyze('security', '--offline=true', '--threshold=20', '--no-pager')
    expect(status, said).toBe(0)
  })
})

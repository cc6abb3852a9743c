import { chmodSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { privateFolder } from '../../src/run/private-folder.ts'
import { temporaryFolder } from '../folder.ts'

describe('the folder of a sandbox', () => {
  it('is new each time, and for this user alone', () => {
    const runtime = join(temporaryFolder('runtime'), 'jit')
    const [one, other] = [privateFolder(runtime), privateFolder(runtime)]
    expect(one).not.toBe(other)
    expect(statSync(one).mode & 0o777).toBe(0o700)
  })

  it.each(['.', 'jit', 'jit/sandboxes'])('is refused where others may write to %s', (open) => {
    const base = temporaryFolder('runtime')
    mkdirSync(join(base, 'jit/sandboxes'), { recursive: true, mode: 0o700 })
    chmodSync(join(base, open), 0o777)
    expect(() => privateFolder(join(base, 'jit'))).toThrow(`${join(base, open)} is open to others`)
  })

  it('is refused where its name leaves no room for a socket’s', () => {
    const runtime = join(temporaryFolder('runtime'), 'x'.repeat(80))
    expect(() => privateFolder(runtime)).toThrow('too long a name')
  })
})

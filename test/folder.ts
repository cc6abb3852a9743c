import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

const folders: string[] = []

/** A new folder that is gone when the tests of the file have ended. */
export function temporaryFolder(name: string): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), `jit-${name}-`)))
  folders.push(folder)
  return folder
}

// Registered by whichever test file imports this: each has a copy of its own.
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

import { realpath, stat } from 'node:fs/promises'
import { isAbsolute, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { JitError } from '../../lib/errors.ts'

/**
 * Where a command runs: below one of the client's roots, or, where it names none, below the folder
 * that `jit mcp` was started in. Links are followed first.
 * @param directory absolute, or from the first of the roots; absent: that one itself
 * @throws JitError `usage`
 */
export async function placeOf(
  directory: string | undefined,
  { roots, cwd }: { roots: readonly string[]; cwd: string },
): Promise<string> {
  const folders = roots.flatMap(folderOf)
  const within = folders.length > 0 ? folders : [cwd]
  const first = within[0] ?? cwd
  const place = await realFolder(resolve(first, directory ?? '.'))
  for (const folder of within) {
    const top = await realpath(folder).catch(() => folder)
    if (isBelow(place, top)) return place
  }
  throw new JitError('usage', `${place} is outside of where this server may run commands`, {
    hint: `directory has to be below ${within.join(' or ')}`,
  })
}

/** Roots are `file:` URLs as of today (MCP 2025-11-25). */
function folderOf(root: string): string[] {
  try {
    return [fileURLToPath(root)]
  } catch {
    return []
  }
}

async function realFolder(path: string): Promise<string> {
  const real = await realpath(path).catch(() => undefined)
  if (real !== undefined && (await stat(real)).isDirectory()) return real
  throw new JitError('usage', `directory: ${path} is no folder`)
}

function isBelow(path: string, top: string): boolean {
  const from = relative(top, path)
  return from === '' || !(from === '..' || from.startsWith('../') || isAbsolute(from))
}

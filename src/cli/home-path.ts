import { homedir } from 'node:os'
import { escapeForDisplay } from '../lib/escape.ts'

/** A path as people write it: under their home with `~`. */
export function homePath(
  path: string,
  { HOME }: Readonly<Record<string, string | undefined>>,
): string {
  const home = HOME || homedir()
  return escapeForDisplay(path.startsWith(`${home}/`) ? `~${path.slice(home.length)}` : path)
}

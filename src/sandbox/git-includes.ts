import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { readData } from '../lib/data-file.ts'
import { JitError } from '../lib/errors.ts'

const MAX_CONFIG = 8 * 1024 * 1024

/**
 * Files that git's settings include, whatever the condition (git-config(1), "Includes"): who may write
 * one writes settings. Only those below `root`: others can't be written anyway.
 * @param configs absolute paths of configuration files
 * @throws JitError `sandbox_unavailable` where one can't be read: what it includes would be left open
 */
export function includedIn(configs: readonly string[], root: string): string[] {
  return configs.flatMap((config) =>
    pathsIn(existsSync(config) ? textOf(config) : '')
      .map((path) => resolve(dirname(config), path))
      .filter((path) => path.startsWith(`${root}/`)),
  )
}

/** Never waits for a pipe, and reads no more than anybody writes. */
function textOf(config: string): string {
  const bytes = readData(config, MAX_CONFIG)
  if (bytes) return bytes.toString()
  throw new JitError('sandbox_unavailable', `${config}: expected a file of at most 8 MiB`)
}

function pathsIn(text: string): string[] {
  const paths: string[] = []
  let including = false
  for (const line of text.split('\n')) {
    if (/^\s*\[/.test(line)) including = /^\s*\[include(?:if\s+"[^"]*")?\s*\]/i.test(line)
    const [, value = ''] = /^(?:\s*\[[^\]]*\])?\s*path\s*=(.*)$/i.exec(line) ?? []
    const path = value.trim().replace(/^"|"$/g, '')
    if (including && path !== '') paths.push(path)
  }
  return paths
}

import { existsSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/**
 * Files that git's settings include, whatever the condition (git-config(1), "Includes"): who may write
 * one writes settings. Only those below `root`: others can't be written anyway.
 * @param configs absolute paths of configuration files
 */
export function includedIn(configs: readonly string[], root: string): string[] {
  return configs.flatMap((config) =>
    pathsIn(existsSync(config) ? readFileSync(config, 'utf8') : '')
      .map((path) => resolve(dirname(config), path))
      .filter((path) => path.startsWith(`${root}/`)),
  )
}

function pathsIn(text: string): string[] {
  const paths: string[] = []
  let including = false
  for (const line of text.split('\n')) {
    if (/^\s*\[/.test(line)) including = /^\s*\[include(?:if\s+"[^"]*")?\s*\]/i.test(line)
    const [, path] = /^(?:\s*\[[^\]]*\])?\s*path\s*=\s*"?(.+?)"?\s*$/i.exec(line) ?? []
    if (including && path !== undefined) paths.push(path)
  }
  return paths
}

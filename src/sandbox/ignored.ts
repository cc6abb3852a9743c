import { relative } from 'node:path'

/**
 * Lines of a gitignore(5) for what is mounted on or hidden: git lists it as files that are there to be added, and
 * then can't add them.
 * @param root the top of the working tree
 */
export function ignoredLines(root: string, covered: readonly string[]): string {
  return covered
    .filter((path) => path.startsWith(`${root}/`) && !path.includes('\n'))
    .map((path) => `/${relative(root, path).replace(/[\\*?[\]! #]/g, '\\$&')}\n`)
    .join('')
}

/** Has git read its ignore patterns from a file, beside those of the repository (git-config(1), GIT_CONFIG_COUNT). */
export function ignoringVariables(file: string): Record<string, string> {
  return {
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: 'core.excludesFile',
    GIT_CONFIG_VALUE_0: file,
  }
}

import {
  appendFileSync,
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import type { SandboxRepository } from './sandbox.ts'

/** Around the lines of one sandbox; the caretaker looks for them, too. */
const BEGIN = '# jit sandbox {'
const END = '# jit sandbox }'
/** At the end of the first: what stood before had no newline at its end. */
const UNENDED = '-'

const BLOCK = /^# jit sandbox \{(-?)\n(?:[^\n]*\n)*?# jit sandbox \}\n/gm

/** The file of a repository that git, inside as well as outside, ignores more files by: gitignore(5). */
export function excludeFile({ commonDir }: Pick<SandboxRepository, 'commonDir'>): string {
  return join(commonDir, 'info/exclude')
}

/**
 * Sees to it that the file is there, so that it can be mounted as it is.
 * @returns what was made
 */
export function pinExclude(repository: SandboxRepository): string[] {
  const file = excludeFile(repository)
  // A link leads to where nothing is this sandbox's to make.
  const before = lstatSync(dirname(file), { throwIfNoEntry: false })
  if (before && !before.isDirectory()) return []
  const made = [mkdirSync(dirname(file), { recursive: true })].filter((path) => path !== undefined)
  try {
    writeFileSync(file, '', { flag: 'wx' })
    return [...made, file]
  } catch {
    return made
  }
}

/** Takes back what was made, where it is still empty without the lines of sandboxes. */
export function unpinExclude(repository: SandboxRepository, made: readonly string[]): void {
  unignore(repository)
  const file = excludeFile(repository)
  if (made.includes(file) && textOf(file) === '') rmSync(file)
  if (!made.includes(dirname(file))) return
  try {
    rmdirSync(dirname(file))
  } catch {
    // Something else lies in it by now.
  }
}

/**
 * Has git ignore what is mounted on or hidden: it would list all of that as new files, and add them to
 * a commit outside, and fail to inside.
 */
export function ignore(repository: SandboxRepository, covered: readonly string[]): void {
  const file = excludeFile(repository)
  const text = textOf(file)
  if (text === undefined) return
  const unended = text !== '' && !text.endsWith('\n')
  const block = `${unended ? '\n' : ''}${BEGIN}${unended ? UNENDED : ''}
# What a sandbox that runs is mounted on: gone, and these lines too, when it has ended.
${patterns(repository.root, covered)}${END}
`
  const { O_WRONLY, O_APPEND, O_NOFOLLOW } = constants
  const open = openSync(file, O_WRONLY | O_APPEND | O_NOFOLLOW)
  appendFileSync(open, block)
  closeSync(open)
}

/** Takes back the lines of all sandboxes; what else was written there stays as it is. */
export function unignore(repository: SandboxRepository): void {
  const file = excludeFile(repository)
  const text = textOf(file)
  if (!text?.includes(BEGIN)) return
  const left = text.replace(BLOCK, '')
  const first = text.indexOf(`${BEGIN}${UNENDED}\n`)
  const whole = first >= 0 && left.length === first ? left.slice(0, -1) : left
  writeFileSync(file, whole, 'latin1')
}

/** As bytes; undefined where it isn't a file that can be written: a link leads elsewhere. */
function textOf(file: string): string | undefined {
  const plain =
    lstatSync(dirname(file), { throwIfNoEntry: false })?.isDirectory() &&
    lstatSync(file, { throwIfNoEntry: false })?.isFile()
  return plain ? readFileSync(file, 'latin1') : undefined
}

function patterns(root: string, covered: readonly string[]): string {
  return covered
    .filter((path) => path.startsWith(`${root}/`) && !path.startsWith(`${root}/.git/`))
    .filter((path) => !path.includes('\n'))
    .map((path) => `/${relative(root, path).replace(/[\\*?[\]! #]/g, '\\$&')}\n`)
    .join('')
}

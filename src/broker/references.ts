import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { JitError } from '../lib/errors.ts'

export interface ReferenceContext {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where relative paths start. */
  readonly directory: string
}

const GROUP_OR_OTHERS_WRITE = 0o022
const MAX_BYTES = 64 * 1024

/**
 * What `env:NAME` or `file:PATH` refers to; a file's last newline is left out.
 * @throws JitError `config_invalid`: unset, empty, unreadable, too large, or a file that others may write
 */
export function resolveReference(reference: string, context: ReferenceContext): string {
  if (reference.startsWith('env:')) return fromVariable(reference.slice(4), context.env)
  if (reference.startsWith('file:')) {
    return fromFile(resolve(context.directory, reference.slice(5)))
  }
  // What stands there may be the secret itself: it is not repeated.
  throw new JitError('config_invalid', 'expected a reference: env:NAME or file:PATH')
}

function fromVariable(name: string, env: ReferenceContext['env']): string {
  const value = env[name]
  if (value) return value
  throw new JitError('config_invalid', `env:${name}: the variable is not set`)
}

function fromFile(path: string): string {
  const fail = (problem: string, cause?: unknown) =>
    new JitError('config_invalid', `file:${path}: ${problem}`, { cause })
  let text: string
  try {
    const { mode, size } = statSync(path)
    // Whoever can write it chooses what the broker trusts.
    if (process.platform !== 'win32' && (mode & GROUP_OR_OTHERS_WRITE) !== 0) {
      throw fail('others may write to it: expected mode 0600')
    }
    if (size > MAX_BYTES) throw fail('expected at most 64 KiB')
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if (cause instanceof JitError) throw cause
    throw fail(
      `cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown error'})`,
      cause,
    )
  }
  const value = text.replace(/\r?\n$/, '')
  if (!value) throw fail('the file is empty')
  return value
}

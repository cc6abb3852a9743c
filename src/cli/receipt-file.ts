import { openSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { JitError } from '../lib/errors.ts'
import type { Receipt } from '../protocol/grant.ts'

/**
 * Opens the file that a receipt goes to before anything is asked for, so that a wrong path is said
 * then. Without a receipt it stays empty.
 * @throws JitError `usage`
 */
export function openReceiptFile(
  path: string | undefined,
  directory: string,
): (receipt: Receipt) => void {
  if (path === undefined) return () => {}
  try {
    const file = openSync(resolve(directory, path), 'w')
    return (receipt) => writeFileSync(file, `${JSON.stringify(receipt)}\n`)
  } catch (cause) {
    const { code = 'unknown error' } = cause as NodeJS.ErrnoException
    throw new JitError('usage', `--receipt ${path}: can't be written (${code})`, { cause })
  }
}

import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import * as v from 'valibot'
import { JitError } from '../lib/errors.ts'
import type { LogPosition } from '../protocol/grant.ts'
import { parseJson } from '../protocol/parse.ts'

const Kept = v.object({ broker: v.string(), seq: v.number(), hash: v.string() })

/** How far a broker's audit log was exported: all up to this entry was taken. */
export class ExportCursor {
  readonly #path: string
  readonly #broker: string

  /** @param broker URL without a trailing slash */
  constructor(path: string, broker: string) {
    this.#path = path
    this.#broker = broker
  }

  /**
   * Where to go on after; nothing where there was no export yet.
   * @throws JitError `usage`: a file that is none, or of another broker's log
   */
  read(): LogPosition | undefined {
    let text: string
    try {
      text = readFileSync(this.#path, 'utf8')
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw this.#unusable('it can not be read', cause)
    }
    const { broker, seq, hash } = parseJson(Kept, text, { what: this.#path, code: 'usage' })
    if (broker === this.#broker) return { seq, hash }
    throw this.#unusable(`it is of the log of ${broker}`)
  }

  /** Whole on the disk once this returns. @throws JitError `export_failed` */
  keep({ seq, hash }: LogPosition): void {
    const draft = `${this.#path}.${process.pid}`
    try {
      const text = JSON.stringify({ broker: this.#broker, seq, hash })
      writeFileSync(draft, `${text}\n`, { mode: 0o600, flush: true })
      renameSync(draft, this.#path)
    } catch (cause) {
      const { code = 'unknown error' } = cause as NodeJS.ErrnoException
      throw new JitError('export_failed', `${this.#path}: can't be written (${code})`, { cause })
    }
  }

  #unusable(problem: string, cause?: unknown): JitError {
    return new JitError('usage', `${this.#path}: ${problem}`, {
      hint: 'name another with --cursor, or remove it to begin with the first entry',
      cause,
    })
  }
}

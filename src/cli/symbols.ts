/** What stands before a line of `jit`'s own. */
export interface Symbols {
  readonly asks: string
  readonly done: string
  readonly attention: string
  readonly failed: string
  /** One after the other, while something is waited for. */
  readonly waits: readonly string[]
  readonly more: string
  readonly between: string
}

const UNICODE: Symbols = {
  asks: '●',
  done: '✓',
  attention: '!',
  failed: '✗',
  waits: ['⧗', '⧖'],
  more: '…',
  between: ' · ',
}
const ASCII: Symbols = {
  asks: '*',
  done: '+',
  attention: '!',
  failed: 'x',
  waits: ['~', '-'],
  more: '...',
  between: ' - ',
}

/** Plain ones where the locale says that its characters aren't UTF-8; an unset locale says nothing. */
export function symbolsFor(env: Readonly<Record<string, string | undefined>>): Symbols {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || 'UTF-8'
  return /utf-?8/i.test(locale) ? UNICODE : ASCII
}

import { JitError } from '../lib/errors.ts'
import type { HeldGrant } from './prompt-grants.ts'

/** Grants that a prompt shows; of the others it says how many. */
const SHOWN = 3
/** Seconds before the end from which a grant is shown as ending. */
const WARN_FOR = 120

const COLOURS: Readonly<Record<string, string>> = {
  production: '31',
  staging: '33',
  development: '32',
}

type Field = (grant: HeldGrant) => string

/** What a template may name between braces. */
const FIELDS: Readonly<Record<string, Field>> = {
  id: ({ id }) => id,
  environment: ({ environment }) => environment,
  task: ({ task }) => task,
  tier: ({ tier }) => tier,
  agent: ({ agent }) => agent ?? '',
  left: ({ left }) => leftText(left),
  seconds: ({ left }) => String(left),
}

/**
 * One line of the grants that are held, empty where there are none.
 * @param format `plain`, `ansi`, or a template such as `{environment}:{task} {left}`
 * @param colours whether `ansi` may have some
 * @throws JitError `usage` for any other format
 */
export function promptLine(
  grants: readonly HeldGrant[],
  { format, colours }: { format: string; colours: boolean },
): string {
  const show = shower(format, colours)
  const shown = grants.slice(0, SHOWN).map(show)
  const more = grants.length - shown.length
  return [...shown, ...(more > 0 ? [`+${more}`] : [])].join(' ')
}

function shower(format: string, colours: boolean): Field {
  if (format === 'plain' || (format === 'ansi' && !colours)) return plain
  if (format === 'ansi') return coloured
  const names = [...format.matchAll(/\{(.*?)\}/g)].map(([, name = '']) => name)
  const unknown = names.find((name) => !Object.hasOwn(FIELDS, name))
  if (names.length > 0 && unknown === undefined) {
    return (grant) => format.replace(/\{(\w+)\}/g, (_, name) => FIELDS[name]?.(grant) ?? '')
  }
  const what = unknown === undefined ? `'${format}' is not a format` : `there is no {${unknown}}`
  const hint = `plain, ansi, or a template of ${Object.keys(FIELDS)
    .map((name) => `{${name}}`)
    .join(' ')}`
  throw new JitError('usage', what, { hint })
}

function plain({ environment, task, left, agent }: HeldGrant): string {
  return `${environment}:${task} ${leftText(left)}${agent === undefined ? '' : ` (${agent})`}`
}

function coloured(grant: HeldGrant): string {
  const ends = grant.left <= WARN_FOR ? '1;7' : ''
  const style = [ends, COLOURS[grant.tier] ?? ''].filter(Boolean).join(';')
  return style ? `\u001b[${style}m${plain(grant)}\u001b[0m` : plain(grant)
}

/** `12m`, `2h6m`; `ends in 90s` where it matters. */
function leftText(left: number): string {
  if (left <= WARN_FOR) return `ends in ${left}s`
  const minutes = Math.floor(left / 60)
  return minutes < 60 ? `${minutes}m` : `${Math.floor(minutes / 60)}h${minutes % 60}m`
}

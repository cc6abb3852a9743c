import { type CommandNode, everyCommand, type FlagNode, type ValueSource } from './command-tree.ts'

/** What every script says of itself. */
export const MADE =
  'Made from the command tree of jit by scripts/completions.ts: change that, not this file.'

/**
 * A value as a person may pick it, as a regular expression: what the broker or a repository names is put
 * on a command line only where it means nothing to any shell.
 */
export const HARMLESS = '^[A-Za-z0-9][A-Za-z0-9._=-]*$'

/** `policy check`; `''` for `jit` itself. */
export const nameOf = ({ path }: CommandNode): string => path.join(' ')

/** One thing to be completed, with what completes it. */
export interface Place {
  readonly command: string
  /** A flag as it is typed; the number of an argument, from 0; `*` for that and all after it. */
  readonly at: string
  readonly source: ValueSource
}

/** The values of flags, `--agent` and `-a` alike. */
export function flagPlaces(root: CommandNode): Place[] {
  return everyCommand(root).flatMap((node) =>
    node.flags.flatMap((flag) =>
      flag.value
        ? spellings(flag).map((at) => ({ command: nameOf(node), at, source: sourceIn(flag) }))
        : [],
    ),
  )
}

/** Of a flag that has a value. */
function sourceIn({ value }: FlagNode): ValueSource {
  return value?.source ?? { from: 'text' }
}

export const spellings = ({ short, long }: FlagNode): string[] =>
  short === undefined ? [long] : [short, long]

export function argumentPlaces(root: CommandNode): Place[] {
  return everyCommand(root).flatMap((node) =>
    node.arguments.map(({ variadic, source }, index) => ({
      command: nameOf(node),
      at: variadic ? '*' : String(index),
      source,
    })),
  )
}

/** Places by what completes them, so that a script says each source once. */
export function bySource(places: readonly Place[]): Map<ValueSource, Place[]> {
  const groups = new Map<string, [ValueSource, Place[]]>()
  for (const place of places) {
    const key = JSON.stringify(place.source)
    const [, group] = groups.get(key) ?? [place.source, []]
    groups.set(key, [place.source, [...group, place]])
  }
  return new Map(groups.values())
}

/** Text with the escapes of one shell: single quotes, with those inside ended and begun again. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

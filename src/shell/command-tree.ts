/** What can be asked for where a value is typed: `jit __complete` answers with what there is now. */
export const ASKED = [
  'environments',
  'tasks',
  'targets',
  'labels',
  'profiles',
  'grants',
  'requests',
  'approvals',
  'unacknowledged',
  'agents',
  'sandbox-profiles',
] as const
export type Asked = (typeof ASKED)[number]

/** Where the candidates for a value come from; `text`: nowhere, it is the person's own. */
export type ValueSource =
  | { readonly from: 'choices'; readonly choices: readonly string[] }
  | { readonly from: 'asked'; readonly what: Asked }
  | { readonly from: 'files' | 'folders' | 'commands' | 'text' }

export interface FlagNode {
  /** `--env` */
  readonly long: string
  /** `-q` */
  readonly short?: string
  readonly description: string
  readonly repeatable: boolean
  /** Absent for a flag that is there or not. */
  readonly value?: {
    readonly name: string
    /** It may be left out, and is given by `=` alone. */
    readonly optional: boolean
    readonly source: ValueSource
    /** What holds without the flag, where that is a value. */
    readonly byDefault?: string
  }
}

export interface ArgumentNode {
  readonly name: string
  readonly description: string
  readonly required: boolean
  readonly variadic: boolean
  readonly source: ValueSource
}

/** A command of the command line with all below it: plain data, that scripts and the manual are made of. */
export interface CommandNode {
  /** Without `jit`: `['policy', 'check']`. */
  readonly path: readonly string[]
  readonly description: string
  /** What follows the command's name on its usage line. */
  readonly usage: string
  /** The title it stands under in the help. */
  readonly group: string
  readonly flags: readonly FlagNode[]
  readonly arguments: readonly ArgumentNode[]
  readonly commands: readonly CommandNode[]
  /** Is given another command, after `--`. */
  readonly wraps: boolean
}

/** The command and all below it, in the order of the help. */
export function everyCommand(node: CommandNode): CommandNode[] {
  return [node, ...node.commands.flatMap(everyCommand)]
}

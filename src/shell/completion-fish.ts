import type { CommandNode, FlagNode, ValueSource } from './command-tree.ts'
import { everyCommand } from './command-tree.ts'
import { HARMLESS, MADE, nameOf } from './completion-script.ts'

/** The completion script for fish 3.4 and newer. */
export function fishCompletion(root: CommandNode): string {
  return [
    `# fish completion of jit. ${MADE}`,
    '',
    script(root),
    ...everyCommand(root).flatMap((node) => [...linesOf(node, root), '']),
  ].join('\n')
}

/** Single quotes, within which fish knows two escapes. */
const quoted = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`

function linesOf(node: CommandNode, root: CommandNode): string[] {
  const here = `complete -c jit -n ${quoted(`__jit_at ${quoted(nameOf(node))}`)}`
  return [
    ...node.commands.map((one) => `${here} -a ${one.path.at(-1)} -d ${quoted(one.description)}`),
    ...node.arguments.flatMap(({ source }) => {
      const offered = action(source, root)
      return offered ? [`${here} ${offered}`] : []
    }),
    ...node.flags.map((flag) => `${here} ${flagOf(flag, root)}`),
  ]
}

function flagOf({ short, long, description, value }: FlagNode, root: CommandNode): string {
  const names = [...(short === undefined ? [] : ['-s', short.slice(1)]), '-l', long.slice(2)]
  const takes = value && !value.optional ? `${action(value.source, root) || '-x'} -r ` : ''
  const may = value?.optional ? `${action(value.source, root)} ` : ''
  return `${names.join(' ')} ${takes}${may}-d ${quoted(description)}`
}

/** Exclusive: no files beside, but where files are meant. */
function action(source: ValueSource, root: CommandNode): string {
  if (source.from === 'files') return '-F'
  if (source.from === 'folders') return "-x -a '(__fish_complete_directories)'"
  if (source.from === 'asked') return `-x -a '(__jit_asked ${source.what})'`
  if (source.from === 'choices') return `-x -a ${quoted(source.choices.join(' '))}`
  const names = root.commands.map(({ path }) => path.at(-1))
  return source.from === 'commands' ? `-x -a ${quoted(names.join(' '))}` : ''
}

function script(root: CommandNode): string {
  const every = everyCommand(root)
  const names = (wanted: (node: CommandNode) => boolean) =>
    every.filter(wanted).map((node) => quoted(nameOf(node)))
  const above = names(({ path, commands }) => path.length > 0 && commands.length > 0)
  return `# The command that is being typed: 'exec', 'policy check'; '--' once a command of its own has begun.
function __jit_path
    set -l tokens (commandline -opc)
    set -l path
    for token in $tokens[2..-1]
        switch $token
            case --
                contains -- "$path" ${names(({ wraps }) => wraps).join(' ')}; and set path --; and break
            case '-*'
            case '*'
                test -z "$path"; and set path $token; and continue
                contains -- "$path" ${above.join(' ')}; and set path "$path $token"
        end
    end
    echo -- $path
end

function __jit_at
    test "$(__jit_path)" = "$argv[1]"
end

# What there is to ask for now. Nothing that is answered is ever evaluated, and only values that mean
# nothing to a shell are put on the command line.
function __jit_asked
    set -l tokens (commandline -opc)
    command jit __complete $argv[1] $tokens[2..-1] 2>/dev/null </dev/null |
        string match -r ${quoted(HARMLESS.replace('$', '(?:\\t.*)?$'))}
end

# The command after \`--\`, completed as itself.
function __jit_wrapped
    set -l tokens (commandline -opc)
    set -l at (contains -i -- -- $tokens)
    set -l words (string escape -- $tokens[(math $at + 1)..-1])
    complete -C "$words $(commandline -ct)"
end

complete -c jit -e
complete -c jit -f
complete -c jit -n '__jit_at --' -x -a '(__jit_wrapped)'
`
}

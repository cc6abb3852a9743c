import type { ArgumentNode, CommandNode, FlagNode, ValueSource } from './command-tree.ts'
import { everyCommand } from './command-tree.ts'
import { HARMLESS, MADE, nameOf, quoted } from './completion-script.ts'

/** The completion script for zsh: a file `_jit` in `fpath`, or evaluated. */
export function zshCompletion(root: CommandNode): string {
  return [
    '#compdef jit',
    `# zsh completion of jit. ${MADE}`,
    '',
    ...everyCommand(root).map((node) => functionOf(node, root)),
    script(root),
  ].join('\n')
}

/** `_jit_policy_check` */
const functionName = ({ path }: CommandNode) => ['_jit_of', ...path].join('_')

function functionOf(node: CommandNode, root: CommandNode): string {
  const below = node.commands.length > 0
  const specs = [
    ...node.flags.map(flagSpec),
    ...(below ? [`': :${functionName(node)}_commands'`, "'*:: :->below'"] : []),
    ...(below ? [] : node.arguments.map((argument) => argumentSpec(argument, root))),
  ]
  const call = ['_arguments -s -S', ...(below ? ['-C'] : []), ...specs].join(' \\\n        ')
  if (!below) return `${functionName(node)}() {\n    ${call}\n}\n`
  return [
    `${functionName(node)}() {`,
    '    local curcontext=$curcontext state line',
    '    typeset -A opt_args',
    `    ${call} && return`,
    '    [[ $state == below ]] || return 1',
    '    case $words[1] in',
    ...node.commands.map((one) => `        ${one.path.at(-1)}) ${functionName(one)} ;;`),
    '        *) return 1 ;;',
    '    esac',
    '}',
    '',
    `${functionName(node)}_commands() {`,
    '    local -a commands=(',
    ...node.commands.map(
      (one) => `        ${quoted(`${one.path.at(-1)}:${one.description.replaceAll(':', '\\:')}`)}`,
    ),
    '    )',
    `    _describe -t commands ${quoted(`jit ${nameOf(node)}`.trim())} commands`,
    '}',
    '',
  ].join('\n')
}

/** Text within a spec of `_arguments`, where these end a part of it. */
const inSpec = (text: string) => text.replace(/[\\:[\]]/g, '\\$&')

function flagSpec({ short, long, description, repeatable, value }: FlagNode): string {
  const about = `[${inSpec(description)}]`
  const message = value && inSpec(value.name)
  const takes = value ? `${value.optional ? '::' : ':'}${message}:${action(value.source)}` : ''
  const end = long === '--help' || long === '--version' ? '(- *)' : ''
  const many = repeatable ? '*' : ''
  if (short === undefined) {
    const equals = value ? (value.optional ? '=-' : '=') : ''
    return quoted(`${many}${long}${equals}${about}${takes}`)
  }
  const others = end || `(${short} ${long})`
  return `${quoted(others)}{${short},${long}}${quoted(`${about}${takes}`)}`
}

function argumentSpec(
  { name, required, variadic, source }: ArgumentNode,
  root: CommandNode,
): string {
  const place = variadic ? '*:' : required ? ':' : '::'
  const below = source.from === 'commands' ? ` ${functionName(root)}_commands` : action(source)
  return quoted(`${place}${inSpec(name)}:${below}`)
}

/** With a space before it, an action is called as it stands. */
function action(source: ValueSource): string {
  if (source.from === 'choices') return `(${source.choices.map(inSpec).join(' ')})`
  if (source.from === 'asked') return ` _jit_asked ${source.what}`
  if (source.from === 'folders') return '_files -/'
  return source.from === 'files' ? '_files' : ' '
}

/** Commands that are given another one. */
const wrapping = (root: CommandNode) =>
  everyCommand(root)
    .filter(({ wraps }) => wraps)
    .map(nameOf)
    .join('|')

const script = (
  root: CommandNode,
) => `# What there is to ask for now. Nothing that is answered is ever evaluated, and only values that mean
# nothing to a shell are put on the command line.
_jit_asked() {
    local line value
    local -a found
    for line in "\${(@f)$(command jit __complete "$1" "\${(@)jit_words}" 2>/dev/null </dev/null)}"; do
        value=\${line%%$'\\t'*}
        [[ $value =~ '${HARMLESS}' ]] || continue
        [[ $line == *$'\\t'* ]] && value+=:\${line#*$'\\t'}
        found+=("$value")
    done
    if [[ $1 == labels ]]; then
        _describe -t "$1" "$1" found -S ''
    else
        _describe -V -t "$1" "$1" found
    fi
}

_jit() {
    integer at=\${words[(i)--]}
    local -a jit_words=("\${(@)words[2,CURRENT-1]}")
    if (( at < CURRENT )) && [[ $words[2] == (${wrapping(root)}) ]]; then
        # The command after \`--\`, completed as itself.
        words=("\${(@)words[at+1,-1]}")
        (( CURRENT -= at ))
        _normal
        return
    fi
    (( at > CURRENT )) && words=("\${(@)words[1,at-1]}")
    _jit_of
}

if [[ $funcstack[1] == _jit ]]; then
    _jit "$@"
elif (( $+functions[compdef] )); then
    compdef _jit jit
fi
`

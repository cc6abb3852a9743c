import { type CommandNode, everyCommand, type ValueSource } from './command-tree.ts'
import {
  argumentPlaces,
  bySource,
  flagPlaces,
  HARMLESS,
  MADE,
  nameOf,
  type Place,
  quoted,
  spellings,
} from './completion-script.ts'

/** The completion script for bash 4.4 and newer. */
export function bashCompletion(root: CommandNode): string {
  return [
    `# bash completion of jit. ${MADE}`,
    '',
    cases('_jit_is_command', '$1 $2', isCommand(root)),
    cases('_jit_takes_value', '$1 $2', takesValue(root)),
    cases('_jit_wraps', '$1', wraps(root)),
    cases('_jit_flags', '$1', flags(root)),
    cases('_jit_value', '$1 $2', sources(flagPlaces(root), root)),
    cases('_jit_argument', '$1 $2', [...commands(root), ...sources(argumentPlaces(root), root)]),
    SCRIPT,
  ].join('\n')
}

const namesBelow = ({ commands: below }: CommandNode) =>
  below.map(({ path }) => path.at(-1)).join(' ')

function commands(root: CommandNode): string[] {
  const above = everyCommand(root).filter((node) => node.commands.length > 0)
  return above.map((node) => `${quoted(`${nameOf(node)} 0`)}) _jit_offer ${namesBelow(node)} ;;`)
}

/** A function that is one `case`: what it says, or a failure where nothing matches. */
function cases(name: string, subject: string, lines: readonly string[]): string {
  const body = [...lines, '*) return 1 ;;'].map((line) => `        ${line}`)
  return [`${name}() {`, `    case "${subject}" in`, ...body, '    esac', '}', ''].join('\n')
}

function isCommand(root: CommandNode): string[] {
  const patterns = everyCommand(root).flatMap((node) =>
    node.commands.map((one) => quoted(`${nameOf(node)} ${one.path.at(-1)}`)),
  )
  return [`${patterns.join(' | ')}) ;;`]
}

function takesValue(root: CommandNode): string[] {
  const patterns = everyCommand(root).flatMap((node) =>
    node.flags
      .filter(({ value }) => value && !value.optional)
      .flatMap((flag) => spellings(flag).map((one) => quoted(`${nameOf(node)} ${one}`))),
  )
  return [`${patterns.join(' | ')}) ;;`]
}

function wraps(root: CommandNode): string[] {
  const names = everyCommand(root).flatMap((node) => (node.wraps ? [quoted(nameOf(node))] : []))
  return [`${names.join(' | ')}) ;;`]
}

function flags(root: CommandNode): string[] {
  return everyCommand(root).map((node) => {
    const offered = node.flags.flatMap((flag) =>
      flag.value?.optional ? [flag.long, `${flag.long}=`] : spellings(flag),
    )
    if (node.wraps) offered.push('--')
    return `${quoted(nameOf(node))}) _jit_offer ${offered.join(' ')} ;;`
  })
}

function sources(places: readonly Place[], root: CommandNode): string[] {
  const described = [...bySource(places)].filter(([{ from }]) => from !== 'text')
  return described.map(([source, found]) => {
    const patterns = found.map(({ command, at }) =>
      at === '*' ? `${quoted(`${command} `)}*` : quoted(`${command} ${at}`),
    )
    return `${patterns.join(' | ')}) ${action(source, root)} ;;`
  })
}

function action(source: ValueSource, root: CommandNode): string {
  if (source.from === 'choices') return `_jit_offer ${source.choices.join(' ')}`
  if (source.from === 'asked') return `_jit_ask ${source.what}`
  if (source.from === 'folders') return '_jit_folders'
  if (source.from === 'files') return '_jit_files'
  return `_jit_offer ${namesBelow(root)}`
}

const SCRIPT = `# Candidates that begin with what is typed.
_jit_offer() {
    local candidate
    for candidate; do
        [[ $candidate == "$current"* && $current != *= ]] && COMPREPLY+=("$before$candidate")
    done
    [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace 2>/dev/null
    return 0
}

_jit_files() {
    compopt -o default 2>/dev/null
}

_jit_folders() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -d -- "$current")
}

# What there is to ask for now. Nothing that is answered is ever evaluated, and only values that mean
# nothing to a shell are put on the command line.
_jit_ask() {
    local value about width=0 index
    local -a values=() abouts=()
    while IFS=$'\\t' read -r value about; do
        [[ $value == "$current"* && $value =~ ${HARMLESS} ]] || continue
        values+=("$value") abouts+=("$about")
        (( \${#value} > width )) && width=\${#value}
    done < <(command jit __complete "$1" "\${words[@]}" 2>/dev/null </dev/null)
    # While they are listed, and only then, with what they are: ?, ! and @ list, see COMP_TYPE.
    if [[ \${#values[@]} -gt 1 && \${COMP_TYPE:-9} == @(33|63|64) ]]; then
        for index in "\${!values[@]}"; do
            printf -v value '%-*s  %s' "$width" "\${values[index]}" "\${abouts[index]}"
            COMPREPLY+=("\${value:0:\${COLUMNS:-80}-1}")
        done
    else
        _jit_offer "\${values[@]}"
    fi
}

# The command after \`--\`, completed as itself. \`$1\`: where it is among the words.
_jit_wrapped() {
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif (( COMP_CWORD == $1 )); then
        mapfile -t COMPREPLY < <(compgen -c -- "$current")
    else
        _jit_by_its_function "$1"
    fi
}

# Without the package bash-completion: by the function that completes it, if there is one.
_jit_by_its_function() {
    local name=\${COMP_WORDS[$1]##*/} spec
    spec=$(complete -p -- "$name" 2>/dev/null) || spec=
    if [[ $spec =~ \\ -F\\ ([^ ]+) ]] && declare -F "\${BASH_REMATCH[1]}" >/dev/null; then
        local function=\${BASH_REMATCH[1]}
        COMP_LINE=\${COMP_LINE#*" -- "}
        COMP_POINT=\${#COMP_LINE}
        COMP_WORDS=("\${COMP_WORDS[@]:$1}")
        (( COMP_CWORD -= $1 ))
        "$function" "$name" "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD-1]}"
    else
        _jit_files
    fi
}

# Sets words: those before and at the cursor. What \`=\` and \`:\` took apart is put together again.
_jit_words() {
    local index word joined=
    words=()
    for (( index = 1; index <= COMP_CWORD; index++ )); do
        word=\${COMP_WORDS[index]}
        if [[ \${#words[@]} -gt 0 && $word =~ ^[=:]+$ ]]; then
            words[-1]+=$word joined=1
        elif [[ $joined ]]; then
            words[-1]+=$word joined=
        else
            words+=("$word")
        fi
    done
}

_jit() {
    local current before='' command='' flag='' word index position=0
    local -a words
    COMPREPLY=()
    _jit_words
    current=\${words[-1]-}
    for word in "\${words[@]:0:\${#words[@]}-1}"; do
        if [[ $word == -- ]] && _jit_wraps "$command"; then
            for (( index = 1; index < COMP_CWORD; index++ )); do
                [[ \${COMP_WORDS[index]} == -- ]] && break
            done
            _jit_wrapped $(( index + 1 ))
            return
        elif [[ $flag ]]; then
            flag=
        elif [[ $word == -* ]]; then
            _jit_takes_value "$command" "$word" && flag=$word
        elif (( position == 0 )) && _jit_is_command "$command" "$word"; then
            command=\${command:+$command }$word
        else
            (( position += 1 ))
        fi
    done
    unset 'words[-1]'
    if [[ $flag ]]; then
        _jit_value "$command" "$flag"
    elif [[ $current == --*=* ]]; then
        flag=\${current%%=*}
        # Where \`=\` doesn't break words, the flag has to be said again.
        [[ \${COMP_WORDS[COMP_CWORD]} == "$flag"=* ]] && before=$flag=
        current=\${current#*=}
        _jit_value "$command" "$flag"
    elif [[ $current == -* ]]; then
        _jit_flags "$command"
    else
        _jit_argument "$command" "$position" || _jit_flags "$command"
    fi
}

complete -o nosort -F _jit jit
`

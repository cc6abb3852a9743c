import { type CommandNode, everyCommand, type ValueSource } from './command-tree.ts'
import {
  argumentPlaces,
  flagPlaces,
  HARMLESS,
  MADE,
  nameOf,
  spellings,
} from './completion-script.ts'

/** The completion script for PowerShell 7. */
export function pwshCompletion(root: CommandNode): string {
  const every = everyCommand(root)
  const above = every.filter(({ commands }) => commands.length > 0)
  const values = [...flagPlaces(root), ...argumentPlaces(root)].flatMap((place) => {
    const source = sourceText(place.source, root)
    return source ? [`${quoted(`${place.command} ${place.at}`)} = ${source}`] : []
  })
  return [
    `# PowerShell completion of jit. ${MADE}`,
    '',
    'Register-ArgumentCompleter -Native -CommandName jit -ScriptBlock {',
    '    param($wordToComplete, $commandAst, $cursorPosition)',
    '',
    table('$below', above.map(below)),
    table('$flags', every.map(flags)),
    table('$values', values),
    list('$taking', every.flatMap(taking)),
    list('$wrapping', every.filter(({ wraps }) => wraps).map(nameOf)),
    SCRIPT,
  ].join('\n')
}

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`

function table(name: string, lines: readonly string[]): string {
  return [`    ${name} = @{`, ...lines.map((line) => `        ${line}`), '    }'].join('\n')
}

function list(name: string, words: readonly string[]): string {
  return `    ${name} = @(${words.map(quoted).join(', ')})`
}

/** Pairs of name and description. */
const described = (pairs: readonly (readonly [string, string])[]) =>
  `[ordered]@{ ${pairs.map(([name, about]) => `${quoted(name)} = ${quoted(about)}`).join('; ')} }`

function below(node: CommandNode): string {
  const pairs = node.commands.map(
    ({ path, description }) => [path.at(-1) ?? '', description] as const,
  )
  return `${quoted(nameOf(node))} = ${described(pairs)}`
}

function flags(node: CommandNode): string {
  const pairs = node.flags.flatMap((flag) =>
    spellings(flag).map((spelling) => [spelling, flag.description] as const),
  )
  return `${quoted(nameOf(node))} = ${described(pairs)}`
}

function taking(node: CommandNode): string[] {
  return node.flags
    .filter(({ value }) => value && !value.optional)
    .flatMap((flag) => spellings(flag).map((spelling) => `${nameOf(node)} ${spelling}`))
}

/** `?` before what is asked for; files are PowerShell's own to complete. */
function sourceText(source: ValueSource, root: CommandNode): string | undefined {
  if (source.from === 'choices') return `@(${source.choices.map(quoted).join(', ')})`
  if (source.from === 'asked') return `@('?', ${quoted(source.what)})`
  if (source.from !== 'commands') return undefined
  return `@(${root.commands.map(({ path }) => quoted(path.at(-1) ?? '')).join(', ')})`
}

const SCRIPT = `
    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
        ForEach-Object { $_.Extent.Text } | Select-Object -Skip 1)
    $command = ''
    $flag = ''
    $position = 0
    foreach ($word in $words) {
        # What follows is another command's: PowerShell offers files.
        if ($word -eq '--' -and $wrapping -contains $command) { return }
        if ($flag) {
            $flag = ''
        } elseif ($word.StartsWith('-')) {
            if ($taking -contains "$command $word") { $flag = $word }
        } elseif ($position -eq 0 -and $below.ContainsKey($command) -and $below[$command].Contains($word)) {
            $command = "$command $word".Trim()
        } else {
            $position += 1
        }
    }

    $current = $wordToComplete
    $before = ''
    if (-not $flag -and $current -match '^(--[a-z-]+)=(.*)$') {
        $flag = $Matches[1]
        $before = "$flag="
        $current = $Matches[2]
    }

    $found = [ordered]@{}
    if (-not $flag -and $current.StartsWith('-')) {
        $found = $flags[$command]
    } elseif (-not $flag -and $position -eq 0 -and $below.ContainsKey($command)) {
        $found = $below[$command]
    } else {
        $source = if ($flag) {
            $values["$command $flag"]
        } elseif ($values.ContainsKey("$command $position")) {
            $values["$command $position"]
        } else {
            $values["$command *"]
        }
        if ($source -and $source[0] -eq '?') {
            # Nothing that is answered is ever evaluated, and only values that mean nothing to a shell
            # are put on the command line.
            $program = Get-Command -Name jit -CommandType 'Application', 'ExternalScript' -TotalCount 1 -ErrorAction Ignore
            if ($program) {
                foreach ($line in (& $program __complete $source[1] @words 2>$null)) {
                    $value, $about = $line -split "\`t", 2
                    if ($value -cmatch '${HARMLESS}') { $found[$value] = $about }
                }
            }
        } else {
            foreach ($value in $source) { $found[$value] = $value }
        }
    }

    foreach ($entry in $found.GetEnumerator()) {
        if (-not $entry.Key.StartsWith($current)) { continue }
        $about = if ($entry.Value) { $entry.Value } else { $entry.Key }
        [System.Management.Automation.CompletionResult]::new("$before$($entry.Key)", $entry.Key, 'ParameterValue', $about)
    }
}
`

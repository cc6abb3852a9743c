import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import manifest from '../package.json' with { type: 'json' }
import { EXAMPLES } from '../src/cli/examples.ts'
import { type CommandNode, everyCommand, type FlagNode } from '../src/shell/command-tree.ts'

const DESCRIPTION = [
  'jit gives a developer, or the AI copilot working beside them, exactly the access one task needs, for exactly as long as the task runs. `jit exec` asks a broker for credentials made for one task, runs a command with them, and gives them back when it ends, however it ends: they are revoked. The broker knows who asks (OIDC), decides by policies (Cedar), has people approve where policy wants it, and keeps a log.',
  'stdout carries what was asked for; notices, progress, questions and errors go to stderr. Questions are asked on a terminal only. With `--json` a command prints one documented object, and errors are JSON, too.',
]

/** The manual page of `jit` (man(7)): of the commands as they are, and of tables of docs/cli.md. */
export function manual(root: CommandNode): string {
  const page = readFileSync(join(import.meta.dirname, '../docs/cli.md'), 'utf8')
  const commands = everyCommand(root).filter(({ path }) => path.length > 0)
  return `${[
    '.\\" Made from the command tree of jit and docs/cli.md by scripts/completions.ts: change those, not this file.',
    `.TH JIT 1 "" "jit ${manifest.version}" "User Commands"`,
    section('NAME', ['jit \\- just-in-time elevation, for one task and as long as it runs']),
    section('SYNOPSIS', ['.B jit', '.I COMMAND', '.RI [ options ]']),
    section('DESCRIPTION', DESCRIPTION.map(prose).join('\n.PP\n').split('\n')),
    section('OPTIONS', root.flags.flatMap(flag)),
    section('COMMANDS', commands.flatMap(command)),
    section('EXIT STATUS', exitStatus(page)),
    section('ENVIRONMENT', rows(page, '## Environment variables').flatMap(entry)),
    section('FILES', rows(page, '## Files').flatMap(entry)),
    section('EXAMPLES', examples('')),
    section('SEE ALSO', [
      prose(
        'The pages of docs/ in the package: getting-started.md, cli.md, shell.md, security.md.',
      ),
    ]),
  ].join('\n')}\n`
}

function section(title: string, lines: readonly string[]): string {
  return [`.SH ${title}`, ...lines].join('\n')
}

function command(node: CommandNode): string[] {
  const { path, usage, description, flags, arguments: values } = node
  const name = ['jit', ...path].join(' ')
  return [
    `.SS ${roff(name)}`,
    `.B ${roff(name)}`,
    roff(usage),
    '.PP',
    prose(`${description[0]?.toUpperCase()}${description.slice(1)}.`),
    ...values.flatMap((value) => [
      '.TP',
      `.I ${roff(value.name)}`,
      prose(value.description || 'a command'),
    ]),
    ...flags.filter(({ long }) => long !== '--help').flatMap(flag),
    ...examples(path.join(' ')),
  ]
}

function flag({ short, long, description, value }: FlagNode): string[] {
  const names = [short, long]
    .filter((name) => name !== undefined)
    .map((name) => `\\fB${roff(name)}\\fR`)
  const placeholder = value && `\\fI${roff(value.name)}\\fR`
  const given = placeholder && (value?.optional ? `[=${placeholder}]` : ` ${placeholder}`)
  const { source, byDefault } = value ?? {}
  const choices = source?.from === 'choices' ? source.choices : []
  const unsaid = choices.some((choice) => description.includes(choice)) ? [] : choices
  const more = [
    ...(unsaid.length > 0 ? [`one of ${unsaid.join(', ')}`] : []),
    ...(byDefault === undefined ? [] : [`${byDefault} unless given`]),
  ]
  const about = more.length > 0 ? `${description} (${more.join('; ')})` : description
  return ['.TP', `${names.join(', ')}${given ?? ''}`, prose(about)]
}

function examples(path: string): string[] {
  const lines = EXAMPLES[path] ?? []
  return lines.length > 0 ? ['.PP', '.EX', ...lines.map((line) => `    ${roff(line)}`), '.EE'] : []
}

/** The two tables, with what stands between them left out. */
function exitStatus(page: string): string[] {
  const [of, others] = tables(page, '## Exit codes')
  if (!of || !others) throw new Error('docs/cli.md has no longer two tables of exit codes')
  return [
    prose('`jit exec` and `jit sandbox` end as their command did. Otherwise:'),
    ...of.flatMap(entry),
    '.PP',
    prose('All other commands:'),
    ...others.flatMap(entry),
  ]
}

function entry([name = '', about = '']: readonly string[]): string[] {
  return ['.TP', prose(name), prose(`${about[0]?.toUpperCase()}${about.slice(1)}.`)]
}

function rows(page: string, heading: string): string[][] {
  const [table] = tables(page, heading)
  if (!table) throw new Error(`docs/cli.md has no table under ${heading}`)
  return table
}

/** The cells of each table under a heading, without the titles of the columns. */
function tables(page: string, heading: string): string[][][] {
  const [, below = ''] = page.split(`\n${heading}\n`)
  const [text = ''] = below.split('\n## ')
  return [...text.matchAll(/(?:^\|.*\n)+/gm)].map(([table]) => {
    const [, , ...lines] = table.trimEnd().split('\n')
    return lines.map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    )
  })
}

/** Markdown within a line as roff. */
function prose(markdown: string): string {
  const plain = markdown.replace(/\[([^\]]+)\]\([^)]+\)/g, '$1').replaceAll('\\|', '|')
  const parts = plain.split(/`([^`]+)`/)
  return parts
    .map((part, index) => (index % 2 === 1 ? `\\fB${roff(part)}\\fR` : roff(part)))
    .join('')
}

/** Text that roff prints as it is: no escape, no request at the start of a line, ASCII only. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('…', '...')
    .replace(/[^ -~]/gu, (other) => {
      const code = other.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')
      return `\\[u${code}]`
    })
    .replace(/^[.']/, '\\&$&')
}

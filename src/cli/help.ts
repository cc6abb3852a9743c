import { Command, Help, type HelpConfiguration } from 'commander'
import { JitError } from '../lib/errors.ts'
import { nearest } from '../lib/nearest.ts'
import { EXAMPLES } from './examples.ts'

const READ_ON =
  "'jit help COMMAND' says more of one, 'man jit' of all; docs/getting-started.md is a tour."

/** Columns beside the names, with fewer of which what they are stands under them. */
const ROOM_BESIDE = 30

/** How help is laid out, on a narrow terminal too. */
export const HELP_LAYOUT: HelpConfiguration = {
  showGlobalOptions: false,
  subcommandTerm: (command) => command.name(),
  // Of the terminal; what is narrower is broken all the same.
  minWidthToWrap: 1,
  formatItem(term, termWidth, description, helper) {
    const columns = helper.helpWidth ?? Infinity
    const beside = columns - termWidth - INDENT.length - GAP.length
    if (beside >= ROOM_BESIDE || description === '') {
      return Help.prototype.formatItem.call(helper, term, termWidth, description, helper)
    }
    const under = INDENT.repeat(3)
    const rows = helper.boxWrap(description, Math.max(1, columns - under.length)).split('\n')
    return [INDENT + term, ...rows.map((row) => under + row)].join('\n')
  },
}

const INDENT = '  '
const GAP = '  '

/** The command that shows help, under `group`. */
export function helpCommand(group: string): Command {
  return new Command('help')
    .description('show help for a command')
    .argument('[command]', 'the command, with the one above it where there is one')
    .helpOption(false)
    .helpGroup(group)
}

/** Adds to every command's help what to start from, and to the first one where to read on. */
export function addExamples(command: Command, path: readonly string[] = []): void {
  const lines = EXAMPLES[path.join(' ')]?.map((line) => `  ${line}`) ?? []
  if (lines.length > 0) {
    const title = lines.length === 1 ? 'Example:' : 'Examples:'
    command.addHelpText('after', ['', title, ...lines].join('\n'))
  }
  if (path.length === 0) command.addHelpText('after', `\n${READ_ON}`)
  for (const one of command.commands) addExamples(one, [...path, one.name()])
}

/**
 * Shows the help of the command of that path, such as `policy check`.
 * @throws JitError `usage` where there is none
 */
export function showHelp(program: Command, path: readonly string[]): void {
  let command = program
  for (const name of path) {
    const below = command.commands.find((one) => one.name() === name)
    if (!below) throw unknown(name, command)
    command = below
  }
  command.outputHelp()
}

function unknown(name: string, above: Command): JitError {
  const meant = nearest(
    name,
    above.commands.map((one) => one.name()),
  )
  const help = above.parent ? `jit ${above.name()} --help` : 'jit --help'
  return new JitError('usage', `unknown command '${name}'`, {
    hint: meant ? `did you mean ${meant}?` : `see '${help}'`,
  })
}

import type { Argument, Command, Option } from 'commander'
import type { ArgumentNode, CommandNode, FlagNode, ValueSource } from '../shell/command-tree.ts'
import { sourceOf } from '../shell/value-sources.ts'
import { append } from './repeated-flag.ts'

/**
 * The parser's commands as plain data, hidden ones left out.
 * @throws Error for a value of which nothing says what completes it: a line in `value-sources.ts` does
 */
export function commandTree(command: Command, path: readonly string[] = []): CommandNode {
  const help = command.createHelp()
  const owner = path.join(' ')
  const usage = command.usage()
  return {
    path,
    description: command.description(),
    usage,
    group: command.helpGroup().replace(/:$/, ''),
    flags: help.visibleOptions(command).map((option) => flagNode(option, owner)),
    arguments: command.registeredArguments.map((argument) => argumentNode(argument, owner)),
    commands: help.visibleCommands(command).map((one) => commandTree(one, [...path, one.name()])),
    wraps: usage.includes(' -- '),
  }
}

function flagNode(option: Option, owner: string): FlagNode {
  const { short, description, required, optional, variadic } = option
  const long = option.long ?? option.flags
  return {
    long,
    ...(short !== undefined && { short }),
    description,
    repeatable: variadic || option.parseArg === append,
    ...((required || optional) && { value: valueNode(option, owner) }),
  }
}

function valueNode(option: Option, owner: string): NonNullable<FlagNode['value']> {
  const { optional, defaultValue } = option
  const [, name = ''] = /[<[](.+)[>\]]/.exec(option.flags) ?? []
  return {
    name,
    optional,
    source: known(option.argChoices, owner, option.long ?? ''),
    ...(typeof defaultValue === 'string' && { byDefault: defaultValue }),
  }
}

function argumentNode(argument: Argument, owner: string): ArgumentNode {
  const { description, required, variadic, argChoices } = argument
  const name = argument.name()
  const source = known(argChoices, owner, name)
  return { name, description, required, variadic, source }
}

function known(choices: readonly string[] | undefined, owner: string, name: string): ValueSource {
  const source = choices ? { from: 'choices' as const, choices } : sourceOf(owner, name)
  if (source) return source
  throw new Error(`jit ${owner}: value-sources.ts has no line on what completes ${name}`)
}

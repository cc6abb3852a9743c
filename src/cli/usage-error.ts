import type { Command, CommanderError } from 'commander'
import { JitError } from '../lib/errors.ts'
import { nearest } from '../lib/nearest.ts'
import { EXIT } from './exit-codes.ts'

/** What was typed, and what there is. */
interface Typed {
  readonly program: Command
  readonly argv: readonly string[]
  /** Commands that are given another one after `--`. */
  readonly wrappers: ReadonlySet<string>
}

/** Kinds of error of somebody who left the `--` out. */
const MISREAD = ['commander.excessArguments', 'commander.unknownOption']

/**
 * Help and version end the parser by an error too; the others become ours.
 * @throws JitError `usage`
 */
export function exitCodeOfParser(error: CommanderError, typed: Typed): number {
  if (error.exitCode === 0) return EXIT.ok
  if (error.code === 'commander.help') return EXIT.usage
  const message = error.message.replace(/^error: /, '')
  const meant = meantBy(error, message, typed)
  throw new JitError('usage', message, {
    hint: meant ? `did you mean ${meant}?` : wayOn(error, typed),
  })
}

/** The flag or command that was probably meant. */
function meantBy({ code }: CommanderError, message: string, typed: Typed): string | undefined {
  const [, word = ''] = /'(?:--)?([^'=]+)/.exec(message) ?? []
  const command = commandOf(typed)
  if (code === 'commander.unknownCommand') return nearest(word, namesBelow(command))
  if (code !== 'commander.unknownOption') return undefined
  const flags = command.createHelp().visibleOptions(command)
  const meant = nearest(
    word,
    flags.map(({ long }) => long?.slice(2) ?? ''),
  )
  return meant && `--${meant}`
}

/** As far down as the words name one. */
function commandOf({ program, argv }: Typed): Command {
  let command = program
  for (const word of argv) {
    const below = command.commands.find((one) => one.name() === word)
    if (!below) break
    command = below
  }
  return command
}

const namesBelow = (command: Command): string[] => command.commands.map((one) => one.name())

/** What helps whoever typed this: the `--` that is missing, or the help of the command that was meant. */
function wayOn({ code }: CommanderError, { program, argv, wrappers }: Typed): string {
  const [name = ''] = argv
  if (MISREAD.includes(code) && wrappers.has(name) && !argv.includes('--')) {
    return `what is to be run stands after '--': jit ${name} [options] -- COMMAND`
  }
  return `see '${namesBelow(program).includes(name) ? `jit ${name} --help` : 'jit --help'}'`
}

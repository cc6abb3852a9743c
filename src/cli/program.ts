import { Command, CommanderError } from 'commander'
import manifest from '../../package.json' with { type: 'json' }
import { JitError } from '../lib/errors.ts'
import { registerAcknowledge } from './commands/acknowledge.ts'
import { registerApprove } from './commands/approve.ts'
import { registerAudit } from './commands/audit.ts'
import { registerBroker } from './commands/broker.ts'
import { registerDeny } from './commands/deny.ts'
import { registerDev } from './commands/dev.ts'
import { registerExec } from './commands/exec.ts'
import { registerGrants } from './commands/grants.ts'
import { registerLogin } from './commands/login.ts'
import { registerLogout } from './commands/logout.ts'
import { registerMcp } from './commands/mcp.ts'
import { registerPolicy } from './commands/policy.ts'
import { registerRequest } from './commands/request.ts'
import { registerRevoke } from './commands/revoke.ts'
import { registerSandbox } from './commands/sandbox.ts'
import { registerShow } from './commands/show.ts'
import { registerStatus } from './commands/status.ts'
import { registerTrust } from './commands/trust.ts'
import { registerWhoami } from './commands/whoami.ts'
import type { Deps } from './deps.ts'
import { EXIT } from './exit-codes.ts'
import { refuseInside } from './inside.ts'

/** How a command says the exit code it ends with. */
export type Exit = (code: number) => void

/** Commands that run another one, given after `--`. */
const WRAPPERS = new Set(['exec', 'sandbox'])
/** Commands that are given another one after `--`, to run it or to ask for it. */
const WITH_COMMAND = new Set([...WRAPPERS, 'request'])

/** Arguments cut at the first `--`: commander would drop it and read the command as its own arguments. */
interface Arguments {
  readonly own: readonly string[]
  /** What follows `--`; absent where there is none. */
  readonly command?: readonly string[]
}

function splitArguments(argv: readonly string[]): Arguments {
  const cut = argv.indexOf('--')
  if (cut < 0 || !WITH_COMMAND.has(argv[0] ?? '')) return { own: argv }
  return { own: argv.slice(0, cut), command: argv.slice(cut + 1) }
}

/** Whether these arguments call a command whose exit codes are those of a child. */
export function wrapsCommand(argv: readonly string[]): boolean {
  return WRAPPERS.has(argv[0] ?? '')
}

/** Whether errors are asked for as JSON. */
export function wantsJson(argv: readonly string[]): boolean {
  return splitArguments(argv).own.includes('--json')
}

/**
 * Runs one command line.
 * @returns the exit code
 * @throws JitError whatever the command throws; `usage` for what isn't a command line
 */
export async function runProgram(
  argv: readonly string[],
  deps: Deps,
  beforeCommand: () => Promise<void>,
): Promise<number> {
  let code: number = EXIT.ok
  const { own, command = [] } = splitArguments(argv)
  const program = createProgram(deps).hook('preAction', async () => {
    await beforeCommand()
    refuseInside(own[0], deps.env)
  })
  const exit: Exit = (value) => {
    code = value
  }
  registerExec(program, deps, { exit, words: command })
  registerRequest(program, deps, { exit, words: command })
  registerSandbox(program, deps, { exit, words: command })
  for (const register of COMMANDS) register(program, deps, exit)
  if (own.length === 0) {
    program.outputHelp()
    return code
  }
  try {
    await program.parseAsync(own, { from: 'user' })
  } catch (thrown) {
    if (thrown instanceof CommanderError) return exitCodeOfParser(thrown, helpFor(program, own))
    throw thrown
  }
  return code
}

function createProgram(deps: Deps): Command {
  return new Command('jit')
    .description('Just the access one task needs, for as long as it runs.')
    .version(manifest.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .exitOverride()
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({
      writeOut: (text) => deps.io.out(text.trimEnd()),
      writeErr: (text) => deps.io.note(text.trimEnd()),
      outputError: () => {},
    })
}

type Register = (program: Command, deps: Deps, exit: Exit) => void

/** Every command, in the order of the help: a new one is a file and a line here. */
const COMMANDS: readonly Register[] = [
  registerLogin,
  registerLogout,
  registerWhoami,
  registerStatus,
  registerGrants,
  registerShow,
  registerRevoke,
  registerApprove,
  registerDeny,
  registerAcknowledge,
  registerAudit,
  registerTrust,
  registerMcp,
  registerPolicy,
  registerBroker,
  registerDev,
]

/** Where to read on: at the command that was meant, where it is known. */
function helpFor(program: Command, [name]: readonly string[]): string {
  const known = program.commands.some((command) => command.name() === name)
  return known ? `jit ${name} --help` : 'jit --help'
}

/**
 * Help and version end the parser by an error too; the others become ours.
 * @throws JitError `usage`
 */
function exitCodeOfParser(error: CommanderError, help: string): number {
  if (error.exitCode === 0) return EXIT.ok
  if (error.code === 'commander.help') return EXIT.usage
  const [first = '', suggestion] = error.message.replace(/^error: /, '').split('\n')
  const match = /^\(Did you mean (.+)\?\)$/.exec(suggestion ?? '')
  const hint = match ? `did you mean ${match[1]}?` : `see '${help}'`
  throw new JitError('usage', first, { hint })
}

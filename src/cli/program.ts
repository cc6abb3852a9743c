import { Command, CommanderError } from 'commander'
import manifest from '../../package.json' with { type: 'json' }
import { registerAcknowledge } from './commands/acknowledge.ts'
import { registerApprove } from './commands/approve.ts'
import { registerAudit } from './commands/audit.ts'
import { registerBroker } from './commands/broker.ts'
import { registerCompletion } from './commands/completion.ts'
import { registerDeny } from './commands/deny.ts'
import { registerDev } from './commands/dev.ts'
import { registerDoctor } from './commands/doctor.ts'
import { registerExec } from './commands/exec.ts'
import { registerGrants } from './commands/grants.ts'
import { registerHook } from './commands/hook.ts'
import { registerInit } from './commands/init.ts'
import { registerLogin } from './commands/login.ts'
import { registerLogout } from './commands/logout.ts'
import { registerMcp } from './commands/mcp.ts'
import { registerPolicy } from './commands/policy.ts'
import { registerPrompt } from './commands/prompt.ts'
import { registerRequest } from './commands/request.ts'
import { registerRevoke } from './commands/revoke.ts'
import { registerSandbox } from './commands/sandbox.ts'
import { registerShow } from './commands/show.ts'
import { registerStatus } from './commands/status.ts'
import { registerTrust } from './commands/trust.ts'
import { registerWhoami } from './commands/whoami.ts'
import type { Deps } from './deps.ts'
import { EXIT } from './exit-codes.ts'
import { addExamples, HELP_LAYOUT, helpCommand, showHelp } from './help.ts'
import { refuseInside } from './inside.ts'
import { wrapTo } from './text-width.ts'
import { exitCodeOfParser } from './usage-error.ts'

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
  const exit: Exit = (value) => {
    code = value
  }
  const program = createProgram(deps, { exit, words: command }).hook('preAction', async () => {
    await beforeCommand()
    refuseInside(own[0], deps.env)
  })
  const [name, ...path] = own
  if (name === undefined || (name === 'help' && !path.some((word) => word.startsWith('-')))) {
    showHelp(program, path)
    return code
  }
  try {
    await program.parseAsync(own, { from: 'user' })
  } catch (thrown) {
    if (thrown instanceof CommanderError)
      return exitCodeOfParser(thrown, { program, argv, wrappers: WITH_COMMAND })
    throw thrown
  }
  return code
}

/**
 * Every command with its flags, as the parser has them: what help, completion and the manual are made of.
 * @param run what follows `--`, and where exit codes go
 */
export function createProgram(deps: Deps, run: Run): Command {
  const program = new Command('jit')
    .description('Just the access one task needs, for as long as it runs.')
    .version(manifest.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .usage('COMMAND [options]')
    .addHelpCommand(helpCommand('Shell:'))
    .exitOverride()
    .showSuggestionAfterError(false)
    .configureHelp(HELP_LAYOUT)
    .configureOutput({
      writeOut: (text) => deps.io.out(wrapTo(text.trimEnd(), deps.io.outColumns)),
      writeErr: (text) => deps.io.note(text.trimEnd()),
      getOutHelpWidth: () => widthFor(deps.io.outColumns),
      getErrHelpWidth: () => widthFor(deps.io.noteColumns),
      outputError: () => {},
    })
  for (const [title, commands] of Object.entries(COMMANDS)) {
    program.commandsGroup(`${title}:`)
    for (const register of commands) register(program, deps, run)
  }
  addExamples(program)
  return program
}

/** Of help. */
const widthFor = (columns: number) => (Number.isFinite(columns) ? columns : WITHOUT_TERMINAL)
const WITHOUT_TERMINAL = 80

interface Run {
  readonly exit: Exit
  readonly words: readonly string[]
}

type Register = (program: Command, deps: Deps, run: Run) => void

/** A command that isn't given another one. */
function plain(register: (program: Command, deps: Deps, exit: Exit) => void): Register {
  return (program, deps, { exit }) => register(program, deps, exit)
}

/** Every command, in the order of the help and under its titles: a new one is a file and a line here. */
const COMMANDS: Readonly<Record<string, readonly Register[]>> = {
  'Sign in': [registerLogin, registerLogout, registerWhoami, registerStatus].map(plain),
  Work: [registerExec, registerRequest, plain(registerInit), plain(registerTrust)],
  Approve: [registerApprove, registerDeny, registerAcknowledge].map(plain),
  'Look and end': [registerGrants, registerShow, registerRevoke, registerAudit].map(plain),
  Copilots: [registerSandbox, plain(registerMcp)],
  Shell: [registerHook, registerPrompt, registerCompletion].map(plain),
  'Run a broker': [registerDev, registerBroker, registerPolicy, registerDoctor].map(plain),
}

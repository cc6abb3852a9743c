import type { Command } from 'commander'
import { JitError } from '../../lib/errors.ts'
import { escapeForDisplay } from '../../lib/escape.ts'
import type { Deps } from '../deps.ts'
import { homePath } from '../home-path.ts'
import type { NewProfile } from '../init-document.ts'
import type { Exit } from '../program.ts'
import { append } from '../repeated-flag.ts'

export interface InitOptions {
  readonly env?: string
  readonly task?: string
  readonly target?: readonly string[]
  readonly ttl?: string
  readonly name?: string
  readonly command?: readonly string[]
  readonly force?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

export function registerInit(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('init')
    .description('write a .jit.yaml for this repository, from what may be asked for here')
    .option('--env <environment>', 'environment that its profile is for')
    .option('--task <task>', 'what is to be done there')
    .option('--target <target>', 'only this target; may be repeated', append)
    .option('--ttl <duration>', 'for how long, such as 15m')
    .option('--name <name>', 'what the profile is called')
    .option('--command <pattern>', "a command it is for: 'make deploy *'; may be repeated", append)
    .option('--force', 'in place of the one that is there')
    .option('--yes', 'without asking anything, and trust it')
    .option('--json', 'print one JSON object')
    .action(async (options: InitOptions) => exit(await runInit(options, deps)))
}

/**
 * Writes a `.jit.yaml` at the top of the repository, by questions or flags, and offers to trust it.
 * Without a session nothing is written.
 * @throws JitError `usage`, `denied`, `cancelled`, `not_signed_in`, what the broker answers
 */
export async function runInit(options: InitOptions, deps: Deps): Promise<number> {
  const { readContext } = await import('../../context/context.ts')
  const { commandsHere } = await import('../../context/tools.ts')
  const { connect } = await import('../connect.ts')
  const { fileFor, writeProfiles } = await import('../init-file.ts')
  const { claimed, root = deps.cwd } = await readContext(deps.cwd)
  const path = fileFor(root, { force: options.force === true })
  const { client } = await connect(deps, { tells: !options.json })
  const { repository, branch, commit } = claimed
  const askable = await client.askable({ repository, branch, commit, all: true })
  const suggest = (task: string) => commandsHere(root, task)
  const asks = deps.io.interactive && !options.yes
  const profiles = await profilesFor({ options, askable, asks, suggest }, deps)
  await writeProfiles(profiles, { path, force: options.force === true })
  const trusted = await offerTrust(path, { root, options, asks }, deps)
  report({ path, profiles, trusted, json: options.json === true }, deps)
  return 0
}

type Making = import('../init-questions.ts').Making

async function profilesFor(making: Omit<Making, 'taken'>, deps: Deps): Promise<NewProfile[]> {
  const { newProfile } = await import('../init-questions.ts')
  const profiles: NewProfile[] = []
  for (;;) {
    const taken = profiles.map(({ name }) => name)
    // Flags describe the first one.
    const options = profiles.length === 0 ? making.options : {}
    const made = await newProfile({ ...making, options, taken }, deps)
    profiles.push(made)
    const again = { message: 'another profile?', default: false, flag: '--yes' }
    if (!making.asks || !(await deps.prompt.confirm(again))) return profiles
  }
}

async function offerTrust(
  path: string,
  { root, options, asks }: { root: string; options: InitOptions; asks: boolean },
  deps: Deps,
): Promise<boolean> {
  const question = {
    message: `trust ${homePath(path, deps.env)} as it is now?`,
    default: true,
    flag: '--yes',
  }
  if (!options.yes && !(asks && (await deps.prompt.confirm(question)))) return false
  const { findProfileFile } = await import('../../context/profile.ts')
  const { trust } = await import('../../context/trust.ts')
  const file = await findProfileFile({ directory: root, root })
  if (!file) throw new JitError('internal', `${path} is gone`)
  await trust(file, deps.paths)
  return true
}

function report(
  said: { path: string; profiles: readonly NewProfile[]; trusted: boolean; json: boolean },
  { io, env }: Deps,
): void {
  const { path, profiles, trusted } = said
  const names = profiles.map(({ name }) => name)
  if (said.json) {
    io.out(JSON.stringify({ path, profiles: names, trusted }))
    return
  }
  io.note(`wrote ${homePath(path, env)}${trusted ? ', and trusted it' : ''}`)
  if (!trusted) io.note("  it counts once you have looked at it: 'jit trust'")
  const [first] = profiles
  const example = first?.commands[0]?.replace(/\s*\*.*$/, '') || 'COMMAND'
  io.note(escapeForDisplay(`  use it: jit exec ${names[0]} -- ${example}`))
}

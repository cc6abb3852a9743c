import { basename } from 'node:path'
import { isatty } from 'node:tty'
import { findRepository, type Repository } from '../context/git-dir.ts'
import { findProfileFile } from '../context/profile.ts'
import { isTrusted } from '../context/trust.ts'
import { JitError } from '../lib/errors.ts'
import type { Command } from '../protocol/request.ts'
import { resolveExecutable } from '../run/resolve.ts'
import { runSandboxed } from '../run/sandboxed.ts'
import { exitLike } from '../run/signals.ts'
import { checkSandbox } from '../sandbox/parts.ts'
import type { SandboxRepository } from '../sandbox/sandbox.ts'
import { actingAs, chosenAgent } from './agent.ts'
import type { SandboxOptions } from './commands/sandbox.ts'
import { requireBroker } from './connect.ts'
import type { Deps } from './deps.ts'
import { inForeground } from './foreground.ts'
import { insideVariables } from './inside.ts'
import { sandboxReport } from './sandbox-report.ts'
import { sandboxSession } from './sandbox-session.ts'
import { chosenSettings } from './sandbox-settings.ts'

/** What `jit sandbox` does. */
export async function sandbox(options: SandboxOptions, deps: Deps): Promise<number> {
  refuseInBackground()
  const command = commandOf(options.command, deps)
  const agent = chosenAgent(actingAs(deps, options.agent).env) ?? agentFor(command)
  const repository = findRepository(deps.cwd)
  const root = repository?.root
  const { name, domains, profile, limits } = await chosenSettings(options, { root, deps })
  checkSandbox(deps.env, root ?? deps.cwd)
  const broker = await requireBroker(deps)
  const session = await sandboxSession({ broker, agent }, limits, deps)
  const quiet = Boolean(options.quiet || options.json)
  const report = sandboxReport(deps, { agent, keepsSession: session.kept, quiet })
  try {
    const { outcome, ...end } = await runSandboxed({
      opening: { profile: name, command, domains: [...domains] },
      agent,
      broker,
      authorizer: session.authorizer,
      clock: deps.clock,
      environment: deps.env,
      variables: insideVariables(await trustedHash(root, deps)),
      repository: repository && partsOf(repository),
      profile,
      runtime: deps.paths.runtime,
      progress: report,
      signal: deps.interrupted,
    })
    await session.end()
    report.stop()
    report.finished(end)
    return exitLike(outcome)
  } catch (thrown) {
    await session.end()
    throw thrown
  } finally {
    report.stop()
  }
}

/**
 * What runs inside has the terminal, in a session of its own, where the kernel doesn't keep a program in
 * the background from reading what is typed to the one in front.
 */
function refuseInBackground(): void {
  if (![0, 1, 2].some((fd) => isatty(fd)) || inForeground() !== false) return
  throw new JitError('usage', 'a sandbox in the background would read what you type to others', {
    hint: 'start it in front, or without the terminal: jit sandbox -- … </dev/null >log 2>&1 &',
  })
}

/** Found before anything is asked for, as execvp(3) does. */
function commandOf(words: readonly string[], { env, cwd }: Deps): Command {
  const [word] = words
  if (word === undefined) {
    throw new JitError('usage', 'there is no command to run', {
      hint: 'give it after --, like: jit sandbox -- claude',
    })
  }
  const executable = resolveExecutable(word, { path: env.PATH, directory: cwd })
  return { argv: [...words], directory: cwd, executable }
}

/** What a copilot is called that nobody gave a name: like its command, in what names are made of. */
function agentFor({ argv: [word = ''] }: Command): string {
  const plain = basename(word)
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 63)
  return plain || 'copilot'
}

function partsOf({ root, gitDir, commonDir, config }: Repository): SandboxRepository {
  const hooksPath = config.get('core.hookspath')
  return { root, gitDir, commonDir, ...(hooksPath === undefined ? {} : { hooksPath }) }
}

/** Inside, the record of what the person trusts can't be read: what holds here now is handed in. */
async function trustedHash(
  root: string | undefined,
  { cwd, paths }: Deps,
): Promise<string | undefined> {
  const file = await findProfileFile({ directory: cwd, root })
  return file && (await isTrusted(file, paths)) ? file.hash : undefined
}

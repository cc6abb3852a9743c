import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { CommandOutcome } from '../protocol/lifeline.ts'
import type { Command } from '../protocol/request.ts'
import { Cover } from './cover.ts'
import { sandboxEnvironment } from './environment.ts'
import { type FileRules, fileRules, refuseHomeIn } from './files.ts'
import { excludeFile, ignore } from './ignored.ts'
import { startInside } from './inside.ts'
import { type Note, noteSandbox } from './notes.ts'
import { findParts, type Parts } from './parts.ts'
import { type DomainProxy, openDomainProxy, type Refused } from './proxy.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Where the repository's parts are, as src/context finds them. Paths are absolute. */
export interface SandboxRepository {
  /** The top of the working tree. */
  readonly root: string
  /** `.git`, or a linked worktree's folder elsewhere. */
  readonly gitDir: string
  /** Shared by all worktrees. */
  readonly commonDir: string
  /** `core.hooksPath` of the repository's own configuration, as written there. */
  readonly hooksPath?: string
}

/** What a person adds to a sandbox, and what a repository takes away. Paths are absolute. */
export interface SandboxProfile {
  /** Of what is hidden: may be read, not written. */
  readonly readable: readonly string[]
  readonly writable: readonly string[]
  /** Of what is visible: can't be read or listed. */
  readonly hidden: readonly string[]
  /** Of what is writable: stays as it is. */
  readonly readOnly: readonly string[]
  /** Names of variables that are passed on although the allow list leaves them out. */
  readonly environment: readonly string[]
}

export interface SandboxOptions {
  readonly command: Command
  /** Of the process that starts it. */
  readonly environment: Environment
  /** Set inside, as they are. */
  readonly variables?: Readonly<Record<string, string>>
  /** Absent: the command's directory is what may be written. */
  readonly repository?: SandboxRepository
  readonly profile: SandboxProfile
  /** Those that policy allowed (src/protocol/sandbox.ts). Nothing starts before they are known. */
  readonly domains: readonly string[] | Promise<readonly string[]>
  /** Unix socket of the link: what the sandbox reaches as `http://127.0.0.1:7421`. Removed once it is bound in. */
  readonly link: string
  /** A folder for this sandbox alone, 0700: made if need be, removed at its end. */
  readonly folder: string
  /** URL of the broker: never reached directly, whatever `domains` says. */
  readonly broker: string
  /**
   * All is there: from now on the terminal is the command's.
   * @param leftOut names of the variables that are not passed on, sorted
   */
  readonly starting?: (leftOut: readonly string[]) => void
}

/** A sandbox while its command runs. */
export interface RunningSandbox {
  /** Of bubblewrap, outside. */
  readonly pid: number
  /** How the command ended. 128 + n is told as signal n: bubblewrap reports no more than that. */
  readonly outcome: Promise<CommandOutcome>
  /** Passes a signal on to the command: those of the terminal's keys to its whole process group. */
  signal(name: NodeJS.Signals): void
  /** Calls `listener` with each host and port that was refused, at most once each. */
  onRefused(listener: (refused: Refused) => void): void
  /** Calls `listener` with each path that was replaced outside and can be written inside from then on. */
  onUncovered(listener: (path: string) => void): void
  /** From now on these hosts are reached through the proxy on the Unix socket beside each, and no others of before. */
  route(hosts: ReadonlyMap<string, string>): void
  /** Ends everything inside and removes what was made for it outside. */
  stop(): Promise<void>
}

/** Where the link is found inside: what `JIT_SANDBOX` names. */
export const LINK_PORT = 7421
/** Where the proxy for the allowed domains is found inside. */
const PROXY_PORT = 3128

/**
 * Starts a command in a sandbox on this terminal: own PID, network, mount and user namespaces, no
 * Unix sockets, and of files, network and environment only what `options` gives it.
 * @throws JitError `sandbox_unavailable` where this system can't (see `checkSandbox`) or where the
 *   repository holds what must stay hidden
 */
export async function startSandbox(options: SandboxOptions): Promise<RunningSandbox> {
  // Loads while all else is looked for.
  const wrap = import('./wrap.ts')
  const parts = findParts(options.environment, writableRoot(options))
  mkdirSync(options.folder, { recursive: true, mode: 0o700 })
  chmodSync(options.folder, 0o700)
  const token = randomBytes(16).toString('hex')
  const socket = join(options.folder, 'proxy.sock')
  const root = writableRoot(options)
  refuseHomeIn(root, options.environment)
  const note = noteSandbox({ ...options, root, repository: options.repository })
  const proxy = await openDomainProxy({ ...options, socket, token })
  try {
    const rules = fileRules({ ...options, parts, visible: [options.link, socket] })
    return await start({ options, wrap, parts, rules, note, proxy, socket, token })
  } catch (error) {
    note.drop()
    await proxy.close()
    rmSync(options.folder, { recursive: true, force: true })
    throw error
  }
}

/** What may be written: the repository, or the command's directory where there is none. */
function writableRoot({ repository, command }: SandboxOptions): string {
  return repository?.root ?? command.directory
}

async function start({
  options,
  wrap,
  parts,
  rules,
  note,
  proxy,
  socket,
  token,
}: {
  options: SandboxOptions
  wrap: Promise<typeof import('./wrap.ts')>
  parts: Parts
  rules: FileRules
  note: Note
  proxy: DomainProxy
  socket: string
  token: string
}): Promise<RunningSandbox> {
  const { variables, leftOut } = sandboxEnvironment({
    parent: options.environment,
    keep: options.profile.environment,
    tool: options.command.executable,
    link: `http://127.0.0.1:${LINK_PORT}`,
    proxy: `http://jit:${token}@127.0.0.1:${PROXY_PORT}`,
  })
  const { wrapCommand } = await wrap
  const [line] = await Promise.all([
    wrapCommand({ ...options, root: writableRoot(options), parts, rules }),
    options.domains,
  ])
  note.add(line.mountPoints)
  const { repository } = options
  if (repository) ignore(repository, [...line.mountPoints, ...rules.hidden])
  options.starting?.(leftOut)
  const inside = await startInside({
    line,
    parts,
    directory: options.command.directory,
    environment: {
      ...variables,
      ...options.variables,
      JIT_ENTRY_HELPER: parts.helper,
      JIT_ENTRY_SOCAT: parts.socat,
      JIT_ENTRY_RELAYS: `${LINK_PORT} ${options.link}\n${PROXY_PORT} ${socket}`,
    },
    folder: options.folder,
    note: note.path,
    exclude: repository ? excludeFile(repository) : '',
    entered: () => rmSync(options.link, { force: true }),
  })
  const cover = new Cover(rules.guarded)
  return {
    pid: inside.pid,
    outcome: inside.outcome,
    signal: inside.signal,
    onRefused: proxy.onRefused,
    onUncovered: (listener) => cover.listen(listener),
    route: proxy.route,
    async stop() {
      cover.look()
      cover[Symbol.dispose]()
      await inside.stop()
      await proxy.close()
    },
  }
}

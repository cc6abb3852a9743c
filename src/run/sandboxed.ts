import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Authorizer } from '../client/authorizer.ts'
import { openSandboxLine, type SandboxLine, type SandboxOpening } from '../client/sandbox-line.ts'
import type { Clock } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import type { Grant } from '../protocol/grant.ts'
import type { CommandOutcome } from '../protocol/lifeline.ts'
import type { Refusal, Sandbox } from '../protocol/sandbox.ts'
import {
  LINK_PORT,
  type RunningSandbox,
  type SandboxProfile,
  type SandboxRepository,
  startSandbox,
} from '../sandbox/sandbox.ts'
import { watchEmbedded } from './embedded.ts'
import type { Environment } from './environment.ts'
import { passInside } from './inside-signals.ts'
import type { WaitingAsk } from './link/ask-observer.ts'
import { type Link, openLink } from './link/link.ts'
import { leaveMarker } from './marker.ts'
import { sandboxPorts } from './ports/sandbox-ports.ts'
import { privateFolder } from './private-folder.ts'

/** Milliseconds between TERM and KILL. */
const STOP_GRACE = 5000

/** What is told while it happens. */
export interface SandboxProgress {
  /**
   * The command starts: from now on the terminal is its own.
   * @param leftOut names of variables that are not passed on
   */
  starts(sandbox: Sandbox, leftOut: readonly string[]): void
  /** A request made inside waits for somebody. */
  waits(ask: WaitingAsk): void
  /** A host that was out of reach, each once. */
  refused(refusal: Refusal): void
  stopping(reason: string): void
  /** The command has ended: what was made for it goes. */
  ending(): void
  /** What stayed as it is was replaced outside: it can be written inside now. */
  uncovered(path: string): void
  /** A new repository is part of the outer one: git runs what its settings say. */
  embedded(path: string): void
}

export interface SandboxedCommand {
  /** What the broker is told, and asked for. */
  readonly opening: SandboxOpening
  /** The copilot's name. */
  readonly agent: string
  /** URL without a trailing slash. */
  readonly broker: string
  /** Of the agent's session. */
  readonly authorizer: Authorizer
  readonly clock: Clock
  readonly environment: Environment
  /** Set inside. */
  readonly variables: Readonly<Record<string, string>>
  readonly repository: SandboxRepository | undefined
  readonly profile: SandboxProfile
  /** The directory for what lives as long as a process. */
  readonly runtime: string
  readonly progress: SandboxProgress
  /** Gives up what has not started yet. */
  readonly signal: AbortSignal
}

export interface SandboxEnd {
  readonly outcome: CommandOutcome
  /** Hosts that were out of reach, each once. */
  readonly refused: readonly Refusal[]
  /** Requests made inside that nobody has decided, or used. */
  readonly undecided: readonly Grant[]
}

/**
 * Runs a command in a sandbox that the broker knows of: it ends with the command, and the command with
 * it, whoever ends it. Everything here is made while the broker is asked; the command waits for its word.
 * @throws JitError before the command starts: what the broker answers, `sandbox_unavailable`, `cancelled`
 */
export async function runSandboxed(command: SandboxedCommand): Promise<SandboxEnd> {
  const givenUp = new AbortController()
  const place = makePlace(command.runtime)
  const route = new LateRoute()
  const { line, link } = openWays(command, { place, route, givenUp: givenUp.signal })
  let asking = true
  const asked = () => {
    asking = false
  }
  void line.then(asked, () => {})
  try {
    await link
    return await hold(command, { line, link, place, route })
  } finally {
    // Of a line that is open the broker is told its end.
    if (asking) givenUp.abort(new JitError('cancelled', 'cancelled'))
    await Promise.allSettled([line.then((open) => open.close()), link.then((open) => open.close())])
    rmSync(place.folder, { recursive: true, force: true })
  }
}

/** The line to the broker, and the link for what is inside with the ports behind it. */
function openWays(
  { broker, agent, authorizer, clock, opening, progress, runtime, signal }: SandboxedCommand,
  { place, route, givenUp }: { place: Place; route: LateRoute; givenUp: AbortSignal },
): { line: Promise<SandboxLine>; link: Promise<Link> } {
  const { folder, socket, shared } = place
  const way = { socket: join(folder, 'http'), folder: shared, route: route.set }
  const ports = sandboxPorts({ linkPort: LINK_PORT, ...way })
  const parts = { broker, authorizer, clock }
  return {
    line: openSandboxLine({ ...parts, open: opening, signal: AbortSignal.any([signal, givenUp]) }),
    link: openLink({
      ...parts,
      socket,
      ports,
      waits: progress.waits,
      leave: (marker) => leaveMarker(runtime, { ...marker, agent }),
    }),
  }
}

/** Where the parts of one sandbox lie outside. */
interface Place {
  readonly folder: string
  /** Of the link. */
  readonly socket: string
  /** Readable inside: certificates. */
  readonly shared: string
}

function makePlace(runtime: string): Place {
  const folder = privateFolder(runtime)
  const shared = join(folder, 'shared')
  mkdirSync(shared, { mode: 0o700 })
  return { folder, socket: join(folder, 'link'), shared }
}

async function hold(
  command: SandboxedCommand,
  {
    line,
    link,
    place,
    route,
  }: { line: Promise<SandboxLine>; link: Promise<Link>; place: Place; route: LateRoute },
): Promise<SandboxEnd> {
  const { progress, repository } = command
  using embedded = repository && watchEmbedded(repository, progress.embedded)
  const starting = start(command, { line, place })
  starting.catch(() => {})
  const open = await line
  // From here on signals are the command's; until now Ctrl-C gave the asking up.
  using _signals = passInside(starting)
  const running = await starting
  const refused: Refusal[] = []
  try {
    route.to(running)
    running.onRefused(({ host, port }) => {
      const refusal = { host, port, count: 1 }
      refused.push(refusal)
      progress.refused(refusal)
      open.refused([refusal])
    })
    running.onUncovered(progress.uncovered)
    const outcome = await untilOver(running, { line: open, progress })
    progress.ending()
    return { outcome, refused, undecided: await (await link).undecided() }
  } finally {
    await running.stop()
    embedded?.look()
  }
}

function start(
  { opening, profile, repository, ...command }: SandboxedCommand,
  { line, place }: { line: Promise<SandboxLine>; place: Place },
): Promise<RunningSandbox> {
  let sandbox: Sandbox | undefined
  const opened = line.then((open) => {
    sandbox = open.sandbox
    return open.sandbox
  })
  return startSandbox({
    command: opening.command,
    environment: command.environment,
    variables: command.variables,
    ...(repository ? { repository } : {}),
    profile: { ...profile, readable: [...profile.readable, place.shared] },
    domains: opened.then(({ domains }) => domains),
    link: place.socket,
    folder: place.folder,
    broker: command.broker,
    starting: (leftOut) => sandbox && command.progress.starts(sandbox, leftOut),
  })
}

/** Waits for the command's end, or brings it about when the sandbox has to end. */
async function untilOver(
  running: RunningSandbox,
  { line, progress }: { line: SandboxLine; progress: SandboxProgress },
): Promise<CommandOutcome> {
  const ended = await Promise.race([running.outcome.then(() => undefined), line.ended])
  if (ended) {
    progress.stopping(ended.reason)
    running.signal('SIGTERM')
    await Promise.race([running.outcome, delay(STOP_GRACE, undefined, { ref: true })])
    await running.stop()
  }
  return running.outcome
}

/** Where HTTP ports are told to the sandbox's own proxy, which is there once the sandbox runs. */
class LateRoute {
  #hosts: ReadonlyMap<string, string> | undefined
  #running: RunningSandbox | undefined

  readonly set = (hosts: ReadonlyMap<string, string>): void => {
    this.#hosts = hosts
    this.#running?.route(hosts)
  }

  to(running: RunningSandbox): void {
    this.#running = running
    if (this.#hosts) running.route(this.#hosts)
  }
}

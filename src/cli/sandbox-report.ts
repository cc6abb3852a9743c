import { formatDuration } from '../lib/duration.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { Refusal } from '../protocol/sandbox.ts'
import type { SandboxEnd, SandboxProgress } from '../run/sandboxed.ts'
import type { Deps } from './deps.ts'
import { obligationText } from './obligation-text.ts'
import { progressOn } from './progress.ts'
import { shellWords } from './shell-words.ts'
import { symbolsFor } from './symbols.ts'

/** How many of the hosts that were out of reach are named. */
const NAMED = 8

/** Milliseconds: what is refused in a burst is one line, and another follows no sooner than this. */
const GATHER = 1000
const AGAIN_AFTER = 30_000

/** Says on stderr what a sandbox is given, what is asked for in it, and how it ends. */
export interface SandboxReport extends SandboxProgress {
  finished(end: Pick<SandboxEnd, 'refused' | 'undecided'>): void
  /** Nothing more is said. */
  stop(): void
}

/**
 * @param sandbox.keepsSession whether what waits outlives it, with a session of the copilot's own
 * @param sandbox.quiet say only what went wrong
 */
export function sandboxReport(
  { io, env, clock }: Pick<Deps, 'io' | 'env' | 'clock'>,
  { agent, keepsSession, quiet }: { agent: string; keepsSession: boolean; quiet: boolean },
): SandboxReport {
  const symbols = symbolsFor(env)
  const warn = (text: string) => io.note(`jit: ${io.style.yellow('warning')}: ${text}`)
  const say = quiet ? () => {} : (line: string) => io.note(line)
  const aside = (text: string) => say(io.style.dim(`  ${text}`))
  const progress = progressOn({ io, env, clock }, { quiet })
  const outOfReach = (refused: readonly Refusal[]) => {
    const hosts = refused.map(({ host, port }) => `${host}:${port}`)
    const more = hosts.length - NAMED
    const rest = more > 0 ? ` and ${more} more` : ''
    const named = list(hosts.slice(0, NAMED))
    say(`${io.style.yellow(symbols.attention)} out of its reach: ${named}${rest}`)
  }
  let untold: Refusal[] = []
  let telling: NodeJS.Timeout | undefined
  let next = GATHER
  const tell = () => {
    telling = undefined
    outOfReach(untold)
    untold = []
    next = AGAIN_AFTER
  }
  progress.begin('starting the sandbox')
  return {
    starts({ expires_at, domains, refused }, leftOut) {
      progress.end()
      const minutes = Math.ceil((Date.parse(expires_at) - clock.now()) / 60_000)
      const left = formatDuration(minutes * 60)
      const parts = [`${agent} in a sandbox`, `up to ${left}`, reach(domains)]
      say(`${io.style.blue(symbols.asks)} ${parts.join(symbols.between)}`)
      if (refused.length > 0) warn(`policy doesn't permit it to reach ${list(refused)}`)
      if (leftOut.length > 0) aside(`not passed on: ${leftOut.map(escapeForDisplay).join(', ')}`)
    },
    waits({ grant, environment, task, argv, obligation }) {
      const asked = [environment, task, shellWords(argv)].map(escapeForDisplay)
      const what = `${agent} asks: ${asked.join(symbols.between)}`
      say(`${io.style.blue(symbols.asks)} ${what}`)
      const how = obligation.sign_in
        ? ''
        : `${symbols.between}jit approve ${escapeForDisplay(grant)}`
      aside(`waits for ${obligationText(obligation)}${how}`)
    },
    refused(refusal) {
      untold.push(refusal)
      telling ??= setTimeout(tell, next).unref()
    },
    stopping: (reason) => warn(`${escapeForDisplay(reason)}: stopping everything in the sandbox`),
    ending: () => progress.begin('ending the sandbox'),
    uncovered: (path) =>
      warn(
        `${escapeForDisplay(path)} was replaced outside, so it can be written in the sandbox: look at it before you use it`,
      ),
    embedded: (path) =>
      warn(
        `${escapeForDisplay(path)} is a new repository in yours: git status and git add run what its .git/config says`,
      ),
    finished({ refused, undecided }) {
      for (const { id, environment, task, context } of undecided) {
        const asked = [environment, task, shellWords(context.command.argv)].map(escapeForDisplay)
        say(`${io.style.yellow(symbols.attention)} nobody decided: ${asked.join(symbols.between)}`)
        aside(
          keepsSession
            ? `what becomes of it: jit show ${escapeForDisplay(id)}`
            : 'the request ended with the sandbox',
        )
      }
      if (refused.length === 0) return
      outOfReach(refused)
      aside('what it may reach stands in its profile, in config.yaml, and policy decides')
    },
    stop() {
      progress.end()
      clearTimeout(telling)
    },
  }
}

const list = (names: readonly string[]): string => names.map(escapeForDisplay).join(', ')

const reach = (domains: readonly string[]): string =>
  domains.length === 0 ? 'no network' : `reaches ${list(domains)}`

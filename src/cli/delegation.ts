import { delegateSession } from '../auth/delegate.ts'
import { formatDuration, parseDuration } from '../lib/duration.ts'
import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { Ceiling } from '../protocol/principal.ts'
import { ceilingLines } from './ceiling-text.ts'
import type { LoginOptions } from './commands/login.ts'
import type { Deps } from './deps.ts'
import { progressOn } from './progress.ts'
import { symbolsFor } from './symbols.ts'

/** Flags of `jit login` that say what a copilot is given; the others are about a sign-in. */
const GIVING = ['task', 'env', 'target', 'ttl'] as const
const SIGNING_IN = ['workload', 'browser', 'open', 'fresh', 'acr', 'yes'] as const

/**
 * Whether the flags of `jit login` go together.
 * @throws JitError `usage`
 */
export function checkDelegation(options: LoginOptions, agent: string | undefined): void {
  const given = (names: readonly (keyof LoginOptions)[]) =>
    names.find((name) => options[name] !== undefined)
  if (!options.delegate) {
    if (options.workload !== undefined && agent !== undefined) {
      throw new JitError('usage', '--workload signs a job in, and a job is no copilot')
    }
    const flag = given(GIVING)
    if (flag) throw new JitError('usage', `--${flag} says what a copilot is given: add --delegate`)
    return
  }
  const flag = given(SIGNING_IN)
  if (flag) throw new JitError('usage', `--${flag}: with --delegate nobody signs in`)
  if (agent !== undefined) return
  throw new JitError('usage', '--delegate hands your session on: say to which copilot', {
    hint: 'add --agent NAME',
  })
}

/**
 * Hands the person's session at a broker on to a copilot; theirs stays as it is.
 * @throws JitError `not_signed_in` where the person isn't, `request_invalid`, `limit_reached`, …
 */
export async function delegate(
  options: LoginOptions,
  { broker, agent, deps }: { broker: string; agent: string; deps: Deps },
): Promise<void> {
  const { clock, paths, interrupted: signal } = deps
  const ceiling = ceilingOf(options)
  const handingOn = delegateSession({
    person: { broker, keystore: await deps.keystore(), clock, paths },
    agent,
    ceiling,
    expiresIn: options.ttl === undefined ? undefined : parseDuration(options.ttl),
    signal,
  })
  const progress = progressOn(deps, { quiet: options.json })
  const session = await progress.during('handing your session on', handingOn)
  const { principal, session_expires_at } = session
  if (options.json) {
    deps.io.out(
      JSON.stringify({ event: 'delegated', principal, broker, session_expires_at, ceiling }),
    )
    return
  }
  const left = formatDuration((Date.parse(session_expires_at) - clock.now()) / 1000)
  const { green, bold } = deps.io.style
  deps.io.note(
    `${green(symbolsFor(deps.env).done)} ${escapeForDisplay(principal.name)} may work at ${broker} for ${left}`,
  )
  for (const line of ceilingLines(ceiling)) deps.io.note(`  ${escapeForDisplay(line)}`)
  deps.io.note(`  ${bold(`JIT_AGENT=${agent}`)} has every command act as it`)
}

function ceilingOf({ task, env, target }: LoginOptions): Ceiling {
  return {
    ...(task ? { tasks: [...task] } : {}),
    ...(env ? { environments: [...env] } : {}),
    ...(target ? { targets: [...target] } : {}),
  }
}

import { JitError } from '../lib/errors.ts'
import type { MaskedOutput } from '../run/masking/child.ts'
import { chosenAgent } from './agent.ts'
import type { MaskMode } from './commands/exec.ts'
import type { Deps } from './deps.ts'
import { isAutomated } from './terminal.ts'

const STREAMS = ['stdout', 'stderr'] as const

/**
 * Which streams of a command are masked. By itself, those that a copilot or a CI job's log gets. A
 * terminal's never are: a command that writes to a pipe has lost it.
 * @param terminals which streams are a terminal
 * @throws JitError `usage` where one that is a terminal should be
 */
export function maskedStreams(
  mode: MaskMode,
  { env, terminals }: Pick<Deps, 'env'> & { terminals: Record<'stdout' | 'stderr', boolean> },
): MaskedOutput {
  if (mode === 'never' || (mode === 'auto' && !isReadByOthers(env))) return {}
  const shown = STREAMS.find((name) => terminals[name])
  if (mode === 'always' && shown) {
    throw new JitError('usage', `--mask always: ${shown} is a terminal, which can't be masked`, {
      hint: 'send both streams through a pipe: jit exec --mask always … 2>&1 | cat',
    })
  }
  return Object.fromEntries(
    STREAMS.filter((name) => !terminals[name]).map((name) => [name, process[name]]),
  )
}

function isReadByOthers(env: Deps['env']): boolean {
  return chosenAgent(env) !== undefined || Boolean(env.JIT_SANDBOX) || isAutomated(env)
}

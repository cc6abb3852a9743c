import { promptLine } from '../shell/prompt.ts'
import { heldGrants } from '../shell/prompt-grants.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The line of `jit prompt`, without a program around it: it is asked for with every prompt.
 * @throws JitError `usage` for a format that is none
 */
export function promptNow(format: string, { env, now }: { env: Environment; now: number }): string {
  const colours = !env.NO_COLOR && env.TERM !== 'dumb'
  return promptLine(heldGrants({ env, now }), { format, colours })
}

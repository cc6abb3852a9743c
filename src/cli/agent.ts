import * as v from 'valibot'
import { JitError } from '../lib/errors.ts'
import { AgentName } from '../protocol/principal.ts'
import type { Deps } from './deps.ts'

/**
 * The copilot that commands act as, by `JIT_AGENT`; nothing where they act as the person.
 * @throws JitError `usage`
 */
export function chosenAgent(env: Deps['env']): string | undefined {
  const name = env.JIT_AGENT
  if (!name) return undefined
  if (v.is(AgentName, name)) return name
  throw new JitError('usage', `'${name}' is not the name of an agent`, {
    hint: 'it has up to 63 of a-z 0-9 . _ -, a letter or digit first (--agent, JIT_AGENT)',
  })
}

/** The same, with what `--agent` says before `JIT_AGENT`. */
export function actingAs(deps: Deps, agent: string | undefined): Deps {
  return agent === undefined ? deps : { ...deps, env: { ...deps.env, JIT_AGENT: agent } }
}

/**
 * What a copilot may not do, said before anything is asked of the broker, which would refuse it too.
 * @throws JitError `denied`
 */
export function requirePerson(env: Deps['env'], verb: 'approve' | 'deny' | 'acknowledge'): void {
  const agent = chosenAgent(env)
  if (agent === undefined) return
  throw new JitError('denied', `${agent} is a copilot: only people ${verb}`, {
    hint: `without JIT_AGENT: jit ${verb}`,
  })
}

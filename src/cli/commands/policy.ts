import type { Command } from 'commander'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'
import { registerPolicyCheck } from './policy/check.ts'
import { registerPolicyExplain } from './policy/explain.ts'
import { registerPolicyTest } from './policy/test.ts'

export function registerPolicy(program: Command, deps: Deps, exit: Exit): void {
  const policy = program.command('policy').description('policies as code')
  registerPolicyCheck(policy, deps, exit)
  registerPolicyTest(policy, deps, exit)
  registerPolicyExplain(policy, deps, exit)
}

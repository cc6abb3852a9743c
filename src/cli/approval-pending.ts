import type { Pending } from '../client/asking.ts'
import { JitError } from '../lib/errors.ts'
import type { Obligation } from '../protocol/obligation.ts'
import type { Command } from '../protocol/request.ts'
import { obligationText } from './obligation-text.ts'
import { shellWords } from './shell-words.ts'

/** How to use a request that was made before, once it is approved. */
export function redeemingWith(grant: string, { argv }: Pick<Command, 'argv'>): string {
  return `jit exec --grant ${grant} -- ${shellWords(argv)}`
}

/** What `jit` ends with when nobody here waits for an approval. */
export function waitsByItself(
  { grant, obligation }: Pick<Pending, 'grant'> & { obligation: Obligation },
  command: Pick<Command, 'argv'>,
): JitError {
  return new JitError('approval_pending', `${grant} waits for ${obligationText(obligation)}`, {
    hint: `once it is approved: ${redeemingWith(grant, command)}`,
    grant,
  })
}

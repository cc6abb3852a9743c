import { expect, test } from 'vitest'
import { runAcknowledge } from '../../../src/cli/commands/acknowledge.ts'
import { runApprove } from '../../../src/cli/commands/approve.ts'
import { runDeny } from '../../../src/cli/commands/deny.ts'
import type { Deps } from '../../../src/cli/deps.ts'

/** A copilot's shell: what goes further than the first question fails otherwise. */
const deps = { env: { JIT_AGENT: 'claude' } } as unknown as Deps

test.each([
  ['approve', () => runApprove({}, deps)],
  ['approve --watch', () => runApprove({ watch: true }, deps)],
  ['deny', () => runDeny({ id: 'g_1', yes: true }, deps)],
  ['acknowledge', () => runAcknowledge({}, deps)],
])('jit %s tells a copilot that it is not for copilots, and what is', async (command, run) => {
  const [verb] = command.split(' ')
  await expect(run()).rejects.toMatchObject({
    code: 'denied',
    message: `claude is a copilot: only people ${verb}`,
    hint: `without JIT_AGENT: jit ${verb}`,
  })
})

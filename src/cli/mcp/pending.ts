import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { JitError } from '../../lib/errors.ts'
import { escapeForDisplay } from '../../lib/escape.ts'
import type { Obligation } from '../../protocol/obligation.ts'
import type { Command } from '../../protocol/request.ts'
import { obligationText } from '../obligation-text.ts'
import { shellWords } from '../shell-words.ts'
import type { Answer } from './answer.ts'

/** A request that waits for people. */
export interface Waits {
  readonly grant: string
  readonly obligation: Obligation
  readonly lapses_at: string
  readonly command: Pick<Command, 'argv'>
}

/** Who has to say yes, in one line. */
export function waitingFor({ grant, obligation }: Omit<Waits, 'command'>): string {
  const id = escapeForDisplay(grant)
  return `waiting for ${obligationText(obligation)} (they run: jit approve ${id})`
}

/** The answer to whoever asked: the request goes on waiting, and this is how to go on. */
export function pendingAnswer(waits: Waits): Answer {
  const { grant, obligation, lapses_at } = waits
  const next = `call run again with grant "${grant}" and the same command and directory; list_access shows whether it is approved`
  return {
    lines: [
      `pending: ${waitingFor(waits)}`,
      `nothing has been run. It lapses at ${lapses_at}.`,
      `to go on: ${next}`,
    ],
    data: {
      outcome: 'pending',
      grant,
      waits_for: obligationText(obligation),
      approvals: obligation.approvals,
      approve_with: `jit approve ${grant}`,
      lapses_at,
      next,
    },
  }
}

/** Tells the person at the client, where the client shows what servers say (MCP logging). */
export async function tellPerson(client: Server, waits: Waits): Promise<void> {
  const data = `${shellWords(waits.command.argv)}: ${waitingFor(waits)}`
  await client.sendLoggingMessage({ level: 'notice', logger: 'jit', data }).catch(() => {})
}

/**
 * Shows the person at the client what waits, where it can ask them (form elicitation), until the
 * signal. Whatever they answer approves nothing; "decline" takes the request back.
 * @throws JitError `cancelled` when they decline; never returns otherwise before the signal
 */
export async function askPerson(
  client: Server,
  { waits, who, signal }: { waits: Waits; who: string; signal: AbortSignal },
): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  if (!client.getClientCapabilities()?.elicitation?.form) return promise
  const answered = new AbortController()
  const stop = () => answered.abort(new JitError('cancelled', 'it waits no longer'))
  signal.addEventListener('abort', stop)
  try {
    const { action } = await client.elicitInput(
      {
        mode: 'form',
        message: `${who} asks to run: ${shellWords(waits.command.argv)}\n${waitingFor(waits)}\nTo go on waiting, accept; this approves nothing. To take the request back, decline.`,
        requestedSchema: { type: 'object', properties: {} },
      },
      { signal: answered.signal, timeout: 3_600_000 },
    )
    if (action === 'decline') {
      reject(new JitError('approval_denied', 'the person at the client took the request back'))
    }
  } catch {
    // Dismissed, not shown, or over: it goes on waiting.
  } finally {
    signal.removeEventListener('abort', stop)
  }
  return promise
}

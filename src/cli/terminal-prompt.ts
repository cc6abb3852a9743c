import { setTimeout as delay } from 'node:timers/promises'
import { JitError } from '../lib/errors.ts'
import type { Io } from './io.ts'
import type { Prompt } from './prompt.ts'

const CTRL_C = 3
/** Milliseconds for what was typed to arrive here. */
const TYPED_WITHIN = 50

/** Questions on stderr, answered on stdin: stdout stays free for what was asked for. */
export function terminalPrompt(io: Io, interrupted: AbortSignal): Prompt {
  const ask = async <T>(flag: string, question: () => Promise<T>): Promise<T> => {
    if (!io.interactive) {
      throw new JitError('usage', 'there is no terminal to ask on', { hint: `give ${flag}` })
    }
    return question().catch(asCancelled)
  }
  const load = async () => ({
    prompts: await import('@inquirer/prompts'),
    context: { output: process.stderr, signal: interrupted },
  })
  return {
    confirm: ({ flag, signal, afresh, ...question }) =>
      ask(flag, () =>
        (afresh ? forgetTyped() : Promise.resolve()).then(load).then(({ prompts, context }) =>
          prompts.confirm(question, {
            ...context,
            // A question that may be taken back leaves nothing behind.
            ...(signal && {
              signal: AbortSignal.any([signal, interrupted]),
              clearPromptOnDone: true,
            }),
          }),
        ),
      ),
    select: ({ flag, ...question }) =>
      ask(flag, () => load().then(({ prompts, context }) => prompts.select(question, context))),
    checkbox: ({ flag, ...question }) =>
      ask(flag, () =>
        load().then(({ prompts, context }) =>
          prompts.checkbox({ ...question, required: true }, context),
        ),
      ),
    input: ({ flag, ...question }) =>
      ask(flag, () => load().then(({ prompts, context }) => prompts.input(question, context))),
  }
}

/** Throws away what is typed already. Raw, because a line that nobody has ended stays in the terminal otherwise. */
async function forgetTyped(): Promise<void> {
  const { stdin } = process
  let interrupted = false
  const drop = (typed: Buffer) => {
    interrupted ||= typed.includes(CTRL_C)
  }
  stdin.setRawMode(true)
  stdin.on('data', drop)
  await delay(TYPED_WITHIN)
  stdin.off('data', drop)
  stdin.pause()
  stdin.setRawMode(false)
  if (interrupted) throw new JitError('cancelled', 'cancelled')
}

/** Ctrl-C at a question arrives as one of these two errors of @inquirer/core. */
function asCancelled(thrown: unknown): never {
  const name = thrown instanceof Error ? thrown.name : ''
  if (name === 'ExitPromptError' || name === 'AbortPromptError') {
    throw new JitError('cancelled', 'cancelled', { cause: thrown })
  }
  throw thrown
}

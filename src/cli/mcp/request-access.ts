import { formatDuration } from '../../lib/duration.ts'
import { JitError } from '../../lib/errors.ts'
import type { Grant } from '../../protocol/grant.ts'
import { grantRequest } from '../elevation-request.ts'
import type { Answer } from './answer.ts'
import { type Call, standingIn } from './call.ts'
import { denialOf } from './explain-denial.ts'
import { askOptions, type RequestInput } from './input.ts'
import { pendingAnswer, tellPerson } from './pending.ts'
import { withdraw } from './withdraw.ts'

/**
 * Asks ahead, as `jit request` does.
 * @throws JitError what asking throws
 */
export async function requestAccess(input: RequestInput, call: Call): Promise<Answer> {
  const deps = await standingIn(input.directory, call)
  const request = await grantRequest(askOptions(input), deps)
  try {
    const grant = await call.connection.client.request(request)
    if (call.signal.aborted) await withdraw(grant.id, call)
    return await answerTo(grant, call)
  } catch (thrown) {
    return denialOf(JitError.from(thrown), call)
  }
}

async function answerTo(grant: Grant, call: Call): Promise<Answer> {
  const { id, state, obligation, lapses_at } = grant
  const { command } = grant.context
  if (state === 'pending' && obligation && lapses_at !== undefined) {
    const waits = { grant: id, obligation, lapses_at, command }
    await tellPerson(call.client, waits)
    return pendingAnswer(waits)
  }
  if (state !== 'approved') throw new JitError('grant_ended', `${id} is ${state} already`)
  const next = `call run with grant "${id}" and the same command and directory`
  const left = lapses_at === undefined ? [] : [lapseText(lapses_at, call.deps.clock.now())]
  return {
    lines: [`approved: ${id}`, `to use it: ${next}`, ...left],
    data: {
      outcome: 'approved',
      grant: id,
      next,
      ...(lapses_at === undefined ? {} : { lapses_at }),
    },
  }
}

function lapseText(lapsesAt: string, now: number): string {
  return `it lapses in ${formatDuration((Date.parse(lapsesAt) - now) / 1000)}`
}

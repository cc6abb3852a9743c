import { isatty } from 'node:tty'
import { JitError } from '../lib/errors.ts'
import type { AuthorizationDetails } from '../protocol/request.ts'
import type { RequestExplanation } from '../protocol/request-explanation.ts'
import { EXPIRY_VARIABLE, GRANT_VARIABLE } from '../run/environment.ts'
import type { AskOptions } from './ask-flags.ts'
import type { MaskMode } from './commands/exec.ts'
import { connect } from './connect.ts'
import type { Deps } from './deps.ts'
import { type Child, dryRunLines, requestOf } from './dry-run-text.ts'
import { grantRequest } from './elevation-request.ts'
import { EXIT } from './exit-codes.ts'
import { maskedStreams } from './masked-output.ts'
import { symbolsFor } from './symbols.ts'

const EXIT_CODES = { permit: EXIT.ok, obligation: EXIT.pending, deny: EXIT.denied } as const

/** What a dry run knows beside what is asked for. */
interface Trial {
  /** `jit exec`, `jit request`. */
  readonly verb: string
  readonly mask: MaskMode
}

/**
 * Says what would be asked, what policy would answer and what the child would see. Nothing is
 * requested, minted or recorded.
 * @returns 0 where it would be granted at once, 6 where something is wanted first, 3 where it is denied
 * @throws JitError as {@link grantRequest}; `request_invalid`, `limit_reached`
 */
export async function tryOut(
  options: AskOptions & { readonly grant?: string; readonly json?: boolean },
  { verb, mask }: Trial,
  deps: Deps,
): Promise<number> {
  if (options.grant !== undefined) {
    throw new JitError('usage', "--dry-run can't be given beside --grant", {
      hint: 'what it asks for was decided already: jit policy explain ID says why',
    })
  }
  const terminals = { stdout: isatty(1), stderr: isatty(2) }
  const masked = Object.keys(maskedStreams(mask, { env: deps.env, terminals }))
  const choice = { verb, tried: true, quiet: options.json === true }
  const { details } = await grantRequest(options, deps, choice)
  const { client } = await connect(deps, { tells: !options.json })
  const foretold = await client.foretell(details)
  const child = childOf(foretold, { masked, env: deps.env })
  report({ foretold, details, child, json: options.json === true }, deps)
  return EXIT_CODES[foretold.today.decision]
}

function childOf(
  { targets }: RequestExplanation,
  { masked, env }: { masked: readonly string[]; env: Deps['env'] },
): Child {
  const set = [...targets.flatMap(({ variables }) => variables), GRANT_VARIABLE, EXPIRY_VARIABLE]
  const unset = new Set(targets.flatMap((target) => target.unset))
  return {
    set: [...new Set(set)],
    removed: [...unset].filter((name) => env[name] !== undefined && !set.includes(name)),
    masked,
  }
}

function report(
  said: {
    foretold: RequestExplanation
    details: AuthorizationDetails
    child: Child
    json: boolean
  },
  { io, env }: Deps,
): void {
  const { foretold, details, child } = said
  if (said.json) {
    const request = requestOf(foretold, details)
    io.out(JSON.stringify({ request, answer: foretold.today, child }))
    return
  }
  for (const line of dryRunLines({ foretold, details, child }, symbolsFor(env).between))
    io.out(line)
  io.note('nothing was asked for')
}

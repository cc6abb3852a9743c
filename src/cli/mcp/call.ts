import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { JitError } from '../../lib/errors.ts'
import type { Connection } from '../connect.ts'
import type { Deps } from '../deps.ts'
import type { Acting } from './acting.ts'
import type { Calls } from './calls.ts'
import { placeOf } from './places.ts'

/** Milliseconds for a client to name its roots. */
const ROOTS_WITHIN = 5000

/** What a call of a tool works with. */
export interface Call {
  readonly deps: Deps
  readonly acting: Acting
  readonly connection: Connection
  readonly calls: Calls
  readonly client: Server
  /** Says how far it is, where the client wants to know. */
  readonly progress: (message: string) => void
  /** Aborted when the client takes the call back, or is gone. */
  readonly signal: AbortSignal
}

/**
 * The same with `directory` as the folder it works in.
 * @throws JitError `usage`
 */
export async function standingIn(directory: string | undefined, call: Call): Promise<Deps> {
  const { deps, client } = call
  const place = { roots: await rootsOf(client), cwd: deps.cwd }
  return { ...deps, cwd: await placeOf(directory, place) }
}

/** A client that says it has roots and doesn't name them has said nothing of where it may not go. */
async function rootsOf(client: Server): Promise<string[]> {
  if (!client.getClientCapabilities()?.roots) return []
  try {
    const { roots } = await client.listRoots(undefined, { timeout: ROOTS_WITHIN })
    return roots.map(({ uri }) => uri)
  } catch (cause) {
    throw new JitError('usage', 'the client does not say what its roots are', { cause })
  }
}

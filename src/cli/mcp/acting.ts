import { delegateSession } from '../../auth/delegate.ts'
import { entryName, readSession } from '../../auth/session.ts'
import { endAtBroker } from '../../auth/sign-out.ts'
import type { Keystore } from '../../keystore/keystore.ts'
import { memoryKeystore } from '../../keystore/memory.ts'
import { type ErrorCode, JitError } from '../../lib/errors.ts'
import { actingAs, chosenAgent } from '../agent.ts'
import { type Connection, connect, requireBroker } from '../connect.ts'
import type { Deps } from '../deps.ts'
import { linkFrom } from '../inside.ts'

/** After these another try may find somebody signed in. */
const SIGNED_OUT: readonly ErrorCode[] = ['not_signed_in', 'session_ended', 'token_invalid']

/** Whom the tools act as: a copilot, never the person. Nothing is asked of the broker before it is needed. */
export class Acting {
  readonly #deps: Deps
  readonly #clientName: () => string | undefined
  #connection: Promise<Connection> | undefined

  /** @param clientName what the MCP client calls itself, once it has said so */
  constructor(deps: Deps, clientName: () => string | undefined) {
    this.#deps = deps
    this.#clientName = clientName
  }

  /** @throws JitError `usage` for what `JIT_AGENT` can't be */
  get agent(): string {
    return chosenAgent(this.#deps.env) ?? agentNameOf(this.#clientName() ?? '')
  }

  /**
   * The broker with the copilot's session there: that of its sandbox, its own, or one delegated from the person's, which
   * stays in memory and ends with this process.
   * @throws JitError `not_signed_in`, `session_ended`, what delegating throws
   */
  connection(): Promise<Connection> {
    this.#connection ??= open(this.agent, this.#deps).catch((thrown) => {
      this.#connection = undefined
      throw thrown
    })
    return this.#connection
  }

  /** Takes note of what a call failed with: a session that is over is not used again. */
  failed(error: JitError): void {
    if (SIGNED_OUT.includes(error.code)) this.#connection = undefined
  }
}

async function open(agent: string, deps: Deps): Promise<Connection> {
  const acting = actingAs(deps, agent)
  // The link of a sandbox has a session of its own.
  if (linkFrom(deps.env) !== undefined) return connect(acting)
  const broker = await requireBroker(deps)
  const keystore = await deps.keystore()
  if (await readSession(keystore, { broker, agent })) return connect(acting)
  const own = inMemory(keystore, entryName({ broker, agent }))
  await delegate(own, { broker, agent, deps })
  return connect({ ...acting, keystore: async () => own })
}

/** The person's keystore, in which one entry never arrives. */
function inMemory(keystore: Keystore, entry: string): Keystore {
  const memory = memoryKeystore()
  const of = (name: string) => (name === entry ? memory : keystore)
  return {
    kind: 'memory',
    get: (name) => of(name).get(name),
    set: (name, value) => of(name).set(name, value),
    delete: (name) => of(name).delete(name),
  }
}

async function delegate(
  keystore: Keystore,
  { broker, agent, deps }: { broker: string; agent: string; deps: Deps },
): Promise<void> {
  const { clock, paths, io } = deps
  const session = await delegateSession({
    person: { broker, keystore, clock, paths },
    agent,
    ceiling: {},
    expiresIn: undefined,
    signal: deps.interrupted,
  }).catch((thrown) => {
    throw notDelegated(JitError.from(thrown), agent)
  })
  io.note(`jit mcp: acts as ${agent}, delegated from your session at ${broker}`)
  deps.atExit.add(async () => {
    const last = await readSession(keystore, { broker, agent })
    await endAtBroker(last ?? session, clock)
  })
}

/** Nobody is there to sign in: what helps is said to whoever reads the result. */
function notDelegated(error: JitError, agent: string): JitError {
  if (!SIGNED_OUT.includes(error.code)) return error
  const hint = `the person signs in with 'jit login', or ${agent} as itself with 'jit login --agent ${agent}'`
  return new JitError(error.code, error.message, { hint, cause: error })
}

/** What a client calls itself, as the name of an agent: `Claude Code` is `claude-code`. */
export function agentNameOf(client: string): string {
  const name = client
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 63)
    .replace(/[^a-z0-9]+$/, '')
  return name || 'mcp'
}

import { delegateSession } from '../../auth/delegate.ts'
import { entryName, readSession, type StoredSession } from '../../auth/session.ts'
import { endAtBroker } from '../../auth/sign-out.ts'
import { keepSession } from '../../client/keep-session.ts'
import { withOneInMemory } from '../../keystore/in-memory.ts'
import type { Keystore } from '../../keystore/keystore.ts'
import { type ErrorCode, JitError } from '../../lib/errors.ts'
import { actingAs, chosenAgent } from '../agent.ts'
import { type Connection, connect, requireBroker } from '../connect.ts'
import type { Deps } from '../deps.ts'
import { linkFrom } from '../inside.ts'
import { sessionStore } from '../job.ts'

/** After these another try may find somebody signed in. */
const SIGNED_OUT: readonly ErrorCode[] = ['not_signed_in', 'session_ended', 'token_invalid']
/** Milliseconds between two looks at the session's token: a client may be idle for longer than a session. */
const KEEP_SESSION_EVERY = 30_000

/** What was handed on to this process. */
interface Handed {
  /** The key of the person's session. */
  readonly from: string
  /** Milliseconds since the epoch. */
  readonly until: number
}

/** Whom the tools act as: a copilot, never the person. Nothing is asked of the broker before it is needed. */
export class Acting {
  readonly #deps: Deps
  readonly #clientName: () => string | undefined
  #connection: Promise<Connection> | undefined
  #handed: Handed | undefined

  /**
   * @param deps.interrupted aborted when the client is gone
   * @param clientName what the MCP client calls itself, once it has said so
   */
  constructor(deps: Deps, clientName: () => string | undefined) {
    this.#deps = deps
    this.#clientName = clientName
  }

  /** @throws JitError `usage` for what `JIT_AGENT` can't be */
  get agent(): string {
    return chosenAgent(this.#deps.env) ?? agentNameOf(this.#clientName() ?? '')
  }

  /**
   * The broker with the copilot's session there: that of its sandbox, its own, or one handed on from
   * the person's, which stays in memory and ends with this process.
   * @throws JitError `not_signed_in`, `session_ended`, what delegating throws
   */
  connection(): Promise<Connection> {
    this.#connection ??= this.#open(this.agent).catch((thrown) => {
      this.#connection = undefined
      throw thrown
    })
    return this.#connection
  }

  /** Takes note of what a call failed with: a session that is over is not used again. */
  failed(error: JitError): void {
    if (SIGNED_OUT.includes(error.code)) this.#connection = undefined
  }

  async #open(agent: string): Promise<Connection> {
    const acting = actingAs(this.#deps, agent)
    // The link of a sandbox has a session of its own.
    if (linkFrom(acting.env) !== undefined) return connect(acting)
    const broker = await requireBroker(acting)
    const stored = await readSession(await acting.keystore(), { broker, agent })
    const keystore = stored ? acting.keystore : await this.#handOn({ broker, agent })
    const connection = await connect({ ...acting, keystore })
    const { authorizer } = connection
    const signal = acting.interrupted
    void keepSession({ authorizer, broker, every: KEEP_SESSION_EVERY, signal })
    return connection
  }

  async #handOn(name: { broker: string; agent: string }): Promise<() => Promise<Keystore>> {
    const { clock } = this.#deps
    const persons = await sessionStore(name.broker, this.#deps)()
    const from = JSON.stringify((await readSession(persons, { broker: name.broker }))?.jwk ?? {})
    // Whoever ended it would have to end it for ever, if it came back by itself.
    const ended = this.#handed?.from === from && clock.now() < this.#handed.until
    if (ended) throw stopped(name.agent)
    const keystore = withOneInMemory(entryName(name), persons)
    const session = await delegate(name, { keystore, deps: this.#deps })
    this.#handed = { from, until: Date.parse(session.session_expires_at) }
    return async () => keystore
  }
}

async function delegate(
  { broker, agent }: { broker: string; agent: string },
  { keystore, deps }: { keystore: Keystore; deps: Deps },
): Promise<StoredSession> {
  const { clock, paths, env, io } = deps
  const session = await delegateSession({
    person: { broker, keystore, clock, paths, env },
    agent,
    ceiling: {},
    expiresIn: undefined,
    signal: deps.interrupted,
  }).catch((thrown) => {
    throw notDelegated(JitError.from(thrown), agent)
  })
  deps.atExit.add(async () => {
    const last = await readSession(keystore, { broker, agent })
    if (last) await endAtBroker(last, clock)
  })
  io.note(`jit mcp: acts as ${agent}, with a session handed on from yours at ${broker}`)
  return session
}

/** Nobody is there to sign in: what helps is said to whoever reads the result. */
function notDelegated(error: JitError, agent: string): JitError {
  if (!SIGNED_OUT.includes(error.code)) return error
  const hint = `the person signs in with 'jit login', or ${agent} as itself with 'jit login --agent ${agent}'`
  return new JitError(error.code, error.message, { hint, cause: error })
}

function stopped(agent: string): JitError {
  return new JitError('session_ended', `the session of ${agent} was ended`, {
    hint: 'only the person begins another: by starting this server anew, or by jit login',
  })
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

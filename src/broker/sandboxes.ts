import type { WebSocket } from 'ws'
import { JitError } from '../lib/errors.ts'
import { LIFELINE_CLOSE, PING_INTERVAL_SECONDS } from '../protocol/lifeline.ts'
import type { Principal } from '../protocol/principal.ts'
import type { Refusal, Sandbox } from '../protocol/sandbox.ts'
import { Graces } from './graces.ts'
import type { Grants } from './grants.ts'
import type { LedgerSandbox, SandboxLedger } from './ledger/sandbox-ledger.ts'
import type { BrokerParts } from './parts.ts'
import { tooOften } from './rate-limits.ts'
import { decideAgain, decideDomains, type Reaching } from './reach.ts'
import { RefusalLog } from './refusal-log.ts'
import { SandboxLine } from './sandbox-line.ts'
import { reasonOf } from './sandbox-reason.ts'
import type { Session } from './sessions.ts'
import type { SandboxEnd } from './store/schema.ts'

/** How many connections one session may hold. */
const MAX_PER_SESSION = 40
/** When one more may be tried, in seconds. */
const AGAIN_S = 5
/** How long a supervisor may take to answer that its connection is closed, in milliseconds. */
const CLOSING_MS = 1000

/** The sandboxes of this node: who holds the line of which, and the grace of those that lost theirs. */
export class Sandboxes {
  readonly #parts: BrokerParts & { readonly grants: Grants }
  readonly #bySandbox = new Map<string, SandboxLine>()
  readonly #all = new Set<SandboxLine>()
  readonly #graces: Graces
  readonly #refusals = new Map<string, RefusalLog>()
  readonly #ping: NodeJS.Timeout
  #stopping = false

  constructor(parts: BrokerParts & { readonly grants: Grants }) {
    this.#parts = parts
    const { ledger, store, log, config } = parts
    this.#graces = new Graces({
      what: 'sandboxes',
      grace: config.lifeline.grace * 1000,
      lines: ledger.lines,
      store,
      log,
      isHeld: (id) => this.#bySandbox.has(id),
      end: (id, how) => this.#end(id, 'lifeline', how),
    })
    this.#ping = setInterval(() => {
      for (const line of this.#all) line.ping()
    }, PING_INTERVAL_SECONDS * 1000)
  }

  /** @throws JitError `denied` for anybody but a copilot; `limit_reached` for one connection too many */
  admit({ sid, principal }: Session): void {
    this.#requireAgent(principal)
    const held = [...this.#all].filter((line) => line.sid === sid).length
    if (held < MAX_PER_SESSION) return
    throw tooOften(`your session has ${held} sandboxes, and no more at once`, AGAIN_S)
  }

  #requireAgent({ kind }: Principal): void {
    if (kind === 'agent') return
    throw new JitError('denied', 'only a copilot has a sandbox', {
      hint: 'a session of its own: jit login --agent NAME',
    })
  }

  /** Takes over a connection of an authenticated session. */
  accept(socket: WebSocket, session: Session): void {
    if (this.#stopping) {
      socket.close(LIFELINE_CLOSE.restarting)
      return
    }
    let sandbox: string | undefined
    const hold = (id: string) => {
      sandbox = id
      this.#hold(id, line)
    }
    const own = () => {
      if (sandbox !== undefined && this.#bySandbox.get(sandbox) === line) return sandbox
      throw new JitError('request_invalid', 'there is no sandbox on this line')
    }
    const line: SandboxLine = new SandboxLine(socket, {
      log: this.#parts.log,
      rates: this.#parts.rates,
      metrics: this.#parts.metrics,
      session,
      open: (asked) => this.#open(session.sid, asked, hold),
      reopen: (id) => this.#reopen(session.sid, id, hold),
      refused: (refusals) => this.#refused(own(), refusals),
      close: () => this.#end(own(), 'exit'),
      closed: () => this.#closed(line, sandbox),
    })
    this.#all.add(line)
  }

  async #open(sid: string, asked: Reaching, hold: (id: string) => void): Promise<Sandbox> {
    const { sessions, policies, ledger } = this.#parts
    const session = await sessions.get(sid)
    this.#requireAgent(session.principal)
    const decisions = decideDomains(session, asked, this.#parts)
    const id = ledger.sandboxes.newId()
    const { profile, command } = asked
    const policyVersion = policies.current.version
    const row = await ledger.sandboxes.open(id, session, {
      profile,
      command,
      decisions,
      policyVersion,
    })
    hold(id)
    return this.#view(row)
  }

  async #reopen(sid: string, id: string, hold: (id: string) => void): Promise<Sandbox> {
    const { ledger } = this.#parts
    const find = async () => {
      const row = await ledger.sandboxes.find(id)
      if (row?.sid !== sid) throw new JitError('not_found', `there is no sandbox ${id}`)
      if (row.ended_at !== null) throw new JitError('grant_ended', 'the sandbox has ended')
      return row
    }
    await find()
    hold(id)
    await ledger.lines.hold('sandboxes', id)
    // Its grace may have been over just before it was held.
    return this.#view(await find())
  }

  async #view(row: LedgerSandbox): Promise<Sandbox> {
    const [view] = await this.#parts.ledger.sandboxes.views([row])
    if (!view) throw new JitError('internal', 'a sandbox without a view')
    return view
  }

  #hold(id: string, line: SandboxLine): void {
    this.#graces.clear(id)
    const before = this.#bySandbox.get(id)
    this.#bySandbox.set(id, line)
    if (before && before !== line) before.close(LIFELINE_CLOSE.replaced)
    // Closed meanwhile: nobody will say so again.
    if (!line.open) this.#closed(line, id)
  }

  #closed(line: SandboxLine, sandbox: string | undefined): void {
    this.#all.delete(line)
    if (sandbox === undefined || this.#bySandbox.get(sandbox) !== line) return
    this.#bySandbox.delete(sandbox)
    this.#graces.lose(sandbox)
  }

  /** Watches over what another process left without a line: {@link Graces.takeUp}. */
  takeUp(): Promise<void> {
    return this.#graces.takeUp()
  }

  /** Ends those that lost their line, at whichever node, and found no other within their grace. */
  async endAbandoned(): Promise<void> {
    for (const id of await this.#parts.ledger.lines.abandoned('sandboxes')) {
      await this.#end(id, 'lifeline', { unheld: true })
    }
  }

  async #refused(id: string, refusals: readonly Refusal[]): Promise<void> {
    const { ledger, store } = this.#parts
    const log = this.#refusals.get(id) ?? new RefusalLog()
    this.#refusals.set(id, log)
    const row = await ledger.sandboxes.find(id)
    if (row) await ledger.sandboxes.refused(row, log.take(refusals, store.now()))
  }

  /** Ends a sandbox, and what was granted in a session that was delegated for it. */
  async #end(
    id: string,
    by: Exclude<SandboxEnd, 'session'>,
    why: Parameters<SandboxLedger['end']>[2] = {},
  ): Promise<void> {
    const { ledger, grants } = this.#parts
    await ledger.sandboxes.end(id, by, why)
    await this.settle()
    await grants.ender.endWithSessions()
  }

  /** Tells the lines of sandboxes that have ended, by whatever: everything in them stops. */
  async settle(): Promise<void> {
    const held = new Set([...this.#bySandbox.keys(), ...this.#graces.ids, ...this.#refusals.keys()])
    for (const ended of await this.#parts.ledger.sandboxes.ended([...held])) {
      this.#graces.clear(ended.id)
      const line = this.#bySandbox.get(ended.id)
      this.#bySandbox.delete(ended.id)
      // Who said that the command has ended needs no word of it.
      if (ended.by === 'exit') line?.close(LIFELINE_CLOSE.done)
      else line?.ended(reasonOf(ended))
      await this.#recordRest(ended.id)
    }
  }

  async #recordRest(id: string): Promise<void> {
    const { sandboxes } = this.#parts.ledger
    const rest = this.#refusals.get(id)?.rest() ?? []
    const row = rest.length > 0 ? await sandboxes.find(id) : undefined
    if (row) await sandboxes.refused(row, rest)
    this.#refusals.delete(id)
  }

  /** Ends sandboxes that have what policy permits no more: policies or their agent have changed since. */
  async redecide(): Promise<void> {
    for (const { sandbox, detail } of await decideAgain(this.#parts)) {
      await this.#end(sandbox, 'policy', { detail })
    }
  }

  /** Ends every sandbox for good, because this ledger won't be opened again. */
  async drain(): Promise<void> {
    for (const { id } of await this.#parts.ledger.sandboxes.live()) await this.#end(id, 'lifeline')
  }

  /** Sends all supervisors elsewhere: this node can't keep the ledger, and others may have taken over. */
  stepAside(): void {
    for (const line of this.#all) line.close(LIFELINE_CLOSE.restarting)
  }

  /** Lets go of all connections; their supervisors come back to whoever serves next. */
  stop(): void {
    this.#stopping = true
    clearInterval(this.#ping)
    this.#graces.stop()
    this.stepAside()
    const cut = () => {
      for (const line of this.#all) line.terminate()
    }
    setTimeout(cut, CLOSING_MS).unref()
  }
}

import type { WebSocket } from 'ws'
import { JitError } from '../lib/errors.ts'
import { LIFELINE_CLOSE, PING_INTERVAL_SECONDS } from '../protocol/lifeline.ts'
import type { Refusal, Sandbox } from '../protocol/sandbox.ts'
import type { BrokerParts } from './broker.ts'
import type { Grants } from './grants.ts'
import type { LedgerSandbox } from './ledger/sandbox-ledger.ts'
import { decideAgain, decideDomains, type Reaching } from './reach.ts'
import { RefusalLog } from './refusal-log.ts'
import { SandboxLine } from './sandbox-line.ts'
import { reasonOf } from './sandbox-reason.ts'
import type { Session } from './sessions.ts'
import type { SandboxEnd } from './store/schema.ts'

/** How many connections one session may hold. */
const MAX_PER_SESSION = 40
/** How long a supervisor may take to answer that its connection is closed, in milliseconds. */
const CLOSING_MS = 1000

/** The sandboxes of this node: who holds the line of which, and the grace of those that lost theirs. */
export class Sandboxes {
  readonly #parts: BrokerParts & { readonly grants: Grants }
  readonly #bySandbox = new Map<string, SandboxLine>()
  readonly #all = new Set<SandboxLine>()
  readonly #graces = new Map<string, NodeJS.Timeout>()
  readonly #refusals = new Map<string, RefusalLog>()
  readonly #ping: NodeJS.Timeout
  #stopping = false

  constructor(parts: BrokerParts & { readonly grants: Grants }) {
    this.#parts = parts
    this.#ping = setInterval(() => {
      for (const line of this.#all) line.ping()
    }, PING_INTERVAL_SECONDS * 1000)
  }

  /** @throws JitError `denied` for anybody but a copilot */
  admit({ principal }: Session): void {
    if (principal.kind === 'agent') return
    throw new JitError('denied', 'only a copilot has a sandbox', {
      hint: 'a session of its own: jit login --agent NAME',
    })
  }

  /** Takes over a connection of an authenticated session. */
  accept(socket: WebSocket, session: Session): void {
    const held = [...this.#all].filter(({ sid }) => sid === session.sid).length
    if (held >= MAX_PER_SESSION) {
      socket.close(LIFELINE_CLOSE.tooMany)
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
    this.admit(session)
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
    // Its grace may have been over just before it was held.
    return this.#view(await find())
  }

  async #view(row: LedgerSandbox): Promise<Sandbox> {
    const [view] = await this.#parts.ledger.sandboxes.views([row])
    if (!view) throw new JitError('internal', 'a sandbox without a view')
    return view
  }

  #hold(id: string, line: SandboxLine): void {
    this.#clearGrace(id)
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
    this.#await(sandbox)
  }

  /** Gives a sandbox without a line the grace to find one. */
  #await(id: string): void {
    this.#clearGrace(id)
    if (this.#stopping) return
    const end = () => {
      this.#graces.delete(id)
      this.#end(id, 'lifeline').catch((thrown: unknown) => {
        const reason = String(thrown)
        this.#parts.log.warn('a lost sandbox could not be recorded', { sandbox: id, reason })
        // Deny on doubt: it is tried until it is recorded.
        this.#await(id)
      })
    }
    this.#graces.set(id, setTimeout(end, this.#parts.config.lifeline.grace * 1000))
  }

  #clearGrace(id: string): void {
    clearTimeout(this.#graces.get(id))
    this.#graces.delete(id)
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
    detail: Readonly<Record<string, unknown>> = {},
  ): Promise<void> {
    const { ledger, grants } = this.#parts
    await ledger.sandboxes.end(id, by, detail)
    await this.settle()
    await grants.endWithSessions()
  }

  /** Tells the lines of sandboxes that have ended, by whatever: everything in them stops. */
  async settle(): Promise<void> {
    const held = [this.#bySandbox, this.#graces, this.#refusals].flatMap((map) => [...map.keys()])
    for (const ended of await this.#parts.ledger.sandboxes.ended([...new Set(held)])) {
      this.#clearGrace(ended.id)
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
      await this.#end(sandbox, 'policy', detail)
    }
  }

  /** Takes up what an earlier process left: its grace starts now. */
  async takeUp(): Promise<void> {
    for (const { id } of await this.#parts.ledger.sandboxes.live()) {
      // Some are back already.
      if (!this.#bySandbox.has(id)) this.#await(id)
    }
  }

  /** Ends every sandbox for good, because this ledger won't be opened again. */
  async drain(): Promise<void> {
    for (const { id } of await this.#parts.ledger.sandboxes.live()) await this.#end(id, 'lifeline')
  }

  /** Lets go of all connections; their supervisors come back to whoever serves next. */
  stop(): void {
    this.#stopping = true
    clearInterval(this.#ping)
    for (const timer of this.#graces.values()) clearTimeout(timer)
    for (const line of this.#all) line.close(LIFELINE_CLOSE.restarting)
    const cut = () => {
      for (const line of this.#all) line.terminate()
    }
    setTimeout(cut, CLOSING_MS).unref()
  }
}

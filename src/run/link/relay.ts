import type { IncomingMessage } from 'node:http'
import type { Authorizer } from '../../client/authorizer.ts'
import { JitError } from '../../lib/errors.ts'
import { type HttpAnswer, send } from '../../lib/http.ts'
import { Grant, Grants, Receipt, type Receipts, Withdrawal } from '../../protocol/grant.ts'
import { parseJson } from '../../protocol/parse.ts'
import type { AskObserver } from './ask-observer.ts'
import type { LinkGrants } from './link-grants.ts'
import { notInSandbox, refusalOf } from './refusal.ts'
import { type Route, routeOf } from './routes.ts'

/** Milliseconds that revoking may take: a target may have to answer. */
const REVOKE_WITHIN = 30_000
/** How many grants are revoked side by side. */
const AT_ONCE = 8

const MAX_BODY_BYTES = 64 * 1024

/** States of a request that has come to nothing yet. */
const UNDECIDED: readonly string[] = ['pending', 'approved']
/** Milliseconds: the sandbox is over, and its end waits for the answer. */
const UNDECIDED_WITHIN = 2000

const LIVE: readonly string[] = ['requested', 'pending', 'approved', 'active', 'revoking']

export interface RelayParts {
  /** URL without a trailing slash. */
  readonly broker: string
  readonly authorizer: Authorizer
  readonly grants: LinkGrants
  readonly observer: AskObserver
}

/** One request from inside. Its headers count for nothing. */
export interface InsideRequest {
  readonly method: string
  /** Of the request line. */
  readonly target: string
  readonly body: string
}

/** @throws JitError `request_invalid` for one that is too large */
export async function readInside(request: IncomingMessage): Promise<InsideRequest> {
  const { method = '', url: target = '' } = request
  const chunks: Buffer[] = []
  let size = 0
  // What is left of it is read no further, and the answer still gets there.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += chunk.length
    if (size > MAX_BODY_BYTES) {
      throw new JitError('request_invalid', `expected at most ${MAX_BODY_BYTES} bytes`)
    }
    chunks.push(chunk)
  }
  return { method, target, body: Buffer.concat(chunks).toString('utf8') }
}

/**
 * Asks the broker what may be asked from inside, in the name of the session that stays outside. Only
 * grants that were asked for over this link are seen and ended, whatever else the agent holds.
 */
export class Relay {
  readonly #parts: RelayParts

  constructor(parts: RelayParts) {
    this.#parts = parts
  }

  /** Never throws: what goes wrong is the answer. */
  async answer(request: InsideRequest): Promise<HttpAnswer> {
    try {
      const route = routeOf(request.method, request.target)
      if (!route) throw notInSandbox(`${request.method} ${request.target.split('?')[0]}`)
      return await this.#take(route, request.body)
    } catch (thrown) {
      return refusalOf(thrown)
    }
  }

  /** Requests made inside that wait, or that nobody has used. None where the broker doesn't say so. */
  async undecided(): Promise<readonly Grant[]> {
    try {
      const { status, body } = await this.#list(UNDECIDED_WITHIN)
      if (status !== 200) return []
      return parseJson(Grants, body, BROKER).grants.filter(({ state }) => UNDECIDED.includes(state))
    } catch {
      return []
    }
  }

  #take(route: Route, body: string): Promise<HttpAnswer> {
    switch (route.kind) {
      case 'whoami':
        return this.#forward('GET', '/v1/whoami')
      case 'ask':
        return this.#ask(body)
      case 'askable':
        return this.#forward('GET', `/v1/askable?${new URLSearchParams(route.query)}`)
      case 'foretell':
        return this.#forward('POST', '/v1/policy/explain', { body })
      case 'list':
        return this.#list()
      case 'revoke_all':
        return this.#revokeAll(body)
      case 'grant':
        return this.#forward('GET', `/v1/grants/${this.#own(route.id)}`)
      case 'revoke':
        return this.#revoke(this.#own(route.id))
      case 'explain':
        return this.#forward('GET', `/v1/policy/explain?grant=${this.#own(route.id)}`)
    }
  }

  /** A grant of others doesn't exist. @throws JitError `not_found` */
  #own(id: string): string {
    if (this.#parts.grants.has(id)) return id
    throw new JitError('not_found', `there is no grant ${id}`)
  }

  async #ask(body: string): Promise<HttpAnswer> {
    const answer = await this.#forward('POST', '/v1/grants', { body })
    if (answer.status !== 200 && answer.status !== 201) return answer
    const grant = parseJson(Grant, answer.body, BROKER)
    const { grants, observer } = this.#parts
    grants.learn(grant.id)
    const { id, environment, task, state, obligation } = grant
    if (state === 'pending' && obligation) {
      const { argv } = grant.context.command
      observer.waits({ grant: id, environment, task, argv, obligation })
    }
    return answer
  }

  async #list(timeout?: number): Promise<HttpAnswer> {
    const within = timeout === undefined ? {} : { timeout }
    const answer = await this.#forward('GET', '/v1/grants?scope=mine', within)
    if (answer.status !== 200) return answer
    const known = parseJson(Grants, answer.body, BROKER).grants
    const grants = known.filter(({ id }) => this.#parts.grants.has(id))
    return { ...answer, body: JSON.stringify({ grants }) }
  }

  #revoke(id: string): Promise<HttpAnswer> {
    return this.#forward('POST', `/v1/grants/${id}/revoke`, { timeout: REVOKE_WITHIN })
  }

  /** The broker would end all that the agent holds, that of other sandboxes among it. */
  async #revokeAll(body: string): Promise<HttpAnswer> {
    if (!isOwnScope(body)) throw notInSandbox("ending others' access")
    const listed = await this.#list()
    if (listed.status !== 200) return listed
    const open = parseJson(Grants, listed.body, BROKER).grants.filter(({ state }) =>
      LIVE.includes(state),
    )
    const receipts: Receipt[] = []
    const withdrawn: Withdrawal[] = []
    for (let at = 0; at < open.length; at += AT_ONCE) {
      const some = open.slice(at, at + AT_ONCE)
      for (const { status, body } of await Promise.all(some.map(({ id }) => this.#revoke(id)))) {
        if (status !== 200) continue
        const outcome: unknown = JSON.parse(body)
        if (isReceipt(outcome)) receipts.push(parseJson(Receipt, body, BROKER))
        else withdrawn.push(parseJson(Withdrawal, body, BROKER))
      }
    }
    const all: Receipts = { receipts, withdrawn, sessions: 0, cut_off: [] }
    return { ...listed, body: JSON.stringify(all) }
  }

  async #forward(
    method: 'GET' | 'POST',
    path: string,
    { body, timeout }: { body?: string; timeout?: number } = {},
  ): Promise<HttpAnswer> {
    const { broker, authorizer } = this.#parts
    const url = new URL(`${broker}${path}`)
    const proof = await authorizer.headers({ method, url })
    const answer = await send({
      method,
      url,
      headers: { ...proof, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body }),
      ...(timeout === undefined ? {} : { timeout }),
    })
    const { 'content-type': type = 'application/json' } = answer.headers
    return { ...answer, headers: { 'content-type': type } }
  }
}

const BROKER = { what: "the broker's answer", code: 'broker_failed' } as const

const isReceipt = (outcome: unknown): boolean =>
  typeof outcome === 'object' && outcome !== null && 'leases' in outcome

function isOwnScope(body: string): boolean {
  try {
    const { scope } = JSON.parse(body) as { scope?: unknown }
    return scope === 'mine'
  } catch {
    return false
  }
}

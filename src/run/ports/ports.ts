import type { Duplex } from 'node:stream'
import { JitError } from '../../lib/errors.ts'
import { isSettableVariable } from '../../lib/variables.ts'
import type { DeliveredCredential } from '../../protocol/lifeline.ts'
import type { Authority } from './authority.ts'
import { HttpPort } from './http-port.ts'
import { portOf } from './origin.ts'
import { trustVariables } from './port-variables.ts'
import { PostgresPort } from './postgres-port.ts'
import { fillTemplates } from './templates.ts'

/** Where credentials are used that a command can't read: it is given the way to a port instead. */
export interface Ports {
  /**
   * The credential without its upstream, its templates filled with the way to a port that is open for
   * it from now on; one without an upstream comes back as it is.
   * @throws JitError `broker_failed` when a template is of a variable that no credential may touch
   */
  deliver(credential: DeliveredCredential): Promise<DeliveredCredential>
  /** Ends the connections made with that lease within a second, and forgets what stood for it. */
  end(lease: string): Promise<void>
  /** In a sandbox: a connection on the link that begins with a PostgreSQL startup packet. */
  acceptPostgres(socket: Duplex, head: Buffer): void
  close(): Promise<void>
}

/** How what runs the command gets to the ports. */
export interface Way {
  /** What a client must know to use the HTTP port, where others could connect. */
  readonly password: string | undefined
  postgres(port: PostgresPort): Promise<{ host: string; port: number }>
  /** @returns variables that send programs to the HTTP port for that API */
  http(port: HttpPort, url: URL): Promise<Record<string, string>>
  /** The APIs of live leases are others now. */
  changed(urls: readonly URL[]): void
  close(): Promise<void>
}

type ByKind<Kind> = Extract<NonNullable<DeliveredCredential['upstream']>, { kind: Kind }>

export function openPorts(way: Way, authority: () => Promise<Authority>): Ports {
  return new OpenPorts(way, authority)
}

class OpenPorts implements Ports {
  readonly #way: Way
  readonly #newAuthority: () => Promise<Authority>
  readonly #postgres = new PostgresPort()
  readonly #http: HttpPort
  #authority: Promise<Authority> | undefined

  constructor(way: Way, newAuthority: () => Promise<Authority>) {
    this.#way = way
    this.#newAuthority = newAuthority
    const authority = () => this.#openAuthority()
    this.#http = new HttpPort({ password: way.password, authority })
  }

  async deliver(credential: DeliveredCredential): Promise<DeliveredCredential> {
    // Nothing of what is delivered is secret any more, whatever the broker named as such.
    const { upstream, secrets: _, ...delivered } = credential
    if (!upstream) return credential
    refuseForbidden(delivered)
    const env =
      upstream.kind === 'postgres'
        ? await this.#deliverPostgres(delivered, upstream)
        : await this.#deliverHttp(delivered, upstream)
    return { ...delivered, env }
  }

  async end(lease: string): Promise<void> {
    this.#postgres.end(lease)
    this.#http.end(lease)
    this.#way.changed(this.#http.urls)
  }

  acceptPostgres(socket: Duplex, head: Buffer): void {
    this.#postgres.accept(socket, head)
  }

  async close(): Promise<void> {
    this.#postgres.close()
    this.#http.close()
    this.#way.changed([])
    await this.#way.close()
    const authority = await this.#authority?.catch(() => undefined)
    authority?.remove()
  }

  async #deliverPostgres(
    { lease, target, env }: DeliveredCredential,
    upstream: ByKind<'postgres'>,
  ): Promise<Record<string, string>> {
    const { host, port } = await this.#way.postgres(this.#postgres)
    const { database } = upstream
    const user = this.#postgres.open({ lease, target, upstream })
    const path = `${host}:${port}/${encodeURIComponent(database)}`
    const url = `postgres://${user}@${path}?sslmode=disable`
    return fillTemplates(env, { host, port: String(port), user, database, url })
  }

  async #deliverHttp(
    { lease, env }: DeliveredCredential,
    upstream: ByKind<'http'>,
  ): Promise<Record<string, string>> {
    const url = new URL(upstream.url)
    const trust =
      url.protocol === 'https:' ? trustVariables((await this.#openAuthority()).bundle) : {}
    const token = this.#http.open({ lease, url, token: upstream.token })
    const way = await this.#way.http(this.#http, url)
    this.#way.changed(this.#http.urls)
    const port = String(portOf(url))
    const filled = fillTemplates(env, { host: url.hostname, port, url: upstream.url, token })
    return { ...filled, ...trust, ...way }
  }

  #openAuthority(): Promise<Authority> {
    this.#authority ??= this.#newAuthority()
    return this.#authority
  }
}

/** A port's own variables are beyond what a broker may set: its templates are looked at before. */
function refuseForbidden({ target, env }: DeliveredCredential): void {
  const forbidden = Object.keys(env).find((name) => !isSettableVariable(name))
  if (forbidden !== undefined) {
    throw new JitError('broker_failed', `the credential of ${target} would change ${forbidden}`, {
      hint: 'a credential may not change which programs run: tell whoever runs the broker',
    })
  }
}

import type { ServerMessage } from '../../protocol/lifeline.ts'
import type { LeftMarker, Marker } from '../marker.ts'

/** A grant that lives inside a sandbox. */
export type InsideMarker = Omit<Marker, 'agent'>

/** How many requests are remembered: more than one sandbox may have open. */
const MOST = 256

/** Leaves markers outside for grants inside, where no prompt of the person's would find them. */
export class InsideMarkers {
  readonly #leave: (marker: InsideMarker) => LeftMarker
  /** What was asked for, by its grant. */
  readonly #asked = new Map<string, Omit<InsideMarker, 'expiresAt'>>()
  readonly #left = new Map<string, { readonly line: object; readonly marker: LeftMarker }>()

  constructor(leave: (marker: InsideMarker) => LeftMarker) {
    this.#leave = leave
  }

  /** @param line the lifeline that said it */
  answered(line: object, message: ServerMessage): void {
    const { type } = message
    if (type === 'requested') this.#learn(message)
    else if (type === 'revoked' || type === 'released') this.#end(message.grant)
    else if (type === 'granted' || type === 'resumed' || type === 'renewed') {
      this.#held(line, { grant: message.grant, expiresAt: Date.parse(message.expires_at) })
    }
  }

  /** A lifeline is gone; its grant may have gone over to a newer one. */
  left(line: object, grant: string): void {
    if (this.#left.get(grant)?.line === line) this.#end(grant)
  }

  close(): void {
    for (const grant of this.#left.keys()) this.#end(grant)
  }

  #end(grant: string): void {
    this.#left.get(grant)?.marker[Symbol.dispose]()
    this.#left.delete(grant)
  }

  #learn({ grant, environment, tier, task }: Omit<InsideMarker, 'expiresAt'>): void {
    this.#asked.set(grant, { grant, environment, tier, task })
    const [oldest] = this.#asked.keys()
    if (this.#asked.size > MOST && oldest !== undefined) this.#asked.delete(oldest)
  }

  #held(line: object, { grant, expiresAt }: { grant: string; expiresAt: number }): void {
    const [asked, left] = [this.#asked.get(grant), this.#left.get(grant)]
    left?.marker.move(expiresAt)
    const marker = left?.marker ?? (asked && this.#leave({ ...asked, expiresAt }))
    if (marker) this.#left.set(grant, { line, marker })
  }
}

import type { ServerMessage } from '../../protocol/lifeline.ts'
import type { Obligation } from '../../protocol/obligation.ts'
import type { Command } from '../../protocol/request.ts'

/** A request made inside that waits for somebody. */
export interface WaitingAsk {
  readonly grant: string
  readonly environment: string
  readonly task: string
  readonly argv: readonly string[]
  readonly obligation: Obligation
}

interface Asking {
  argv: readonly string[]
  environment: string
  task: string
}

/** Tells once of each request made inside that waits for approval. */
export class AskObserver {
  readonly #tell: (ask: WaitingAsk) => void
  /** By the lifeline that they were asked on. */
  readonly #asking = new Map<object, Asking>()
  readonly #told = new Set<string>()

  constructor(tell: (ask: WaitingAsk) => void) {
    this.#tell = tell
  }

  /** Whether anything ever waited. */
  get any(): boolean {
    return this.#told.size > 0
  }

  asks(line: object, { argv }: Command): void {
    this.#asking.set(line, { argv, environment: '', task: '' })
  }

  answered(line: object, message: ServerMessage): void {
    const asking = this.#asking.get(line)
    if (!asking) return
    if (message.type === 'requested') Object.assign(asking, message)
    else if (message.type === 'pending') this.waits({ ...asking, ...message })
  }

  left(line: object): void {
    this.#asking.delete(line)
  }

  waits({ grant, environment, task, argv, obligation }: WaitingAsk): void {
    if (this.#told.has(grant)) return
    this.#told.add(grant)
    this.#tell({ grant, environment, task, argv, obligation })
  }
}

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeTarget, Harness, type HarnessOptions } from '../broker/harness.ts'
import { Wire } from '../faults/wire.ts'

/** Brokers over one PostgreSQL behind one URL, each with a target that they share. */
export class Cluster implements AsyncDisposable {
  readonly nodes: Harness[] = []
  readonly shop = new FakeTarget('shop')
  readonly #directory = mkdtempSync(join(tmpdir(), 'jit-cluster-'))
  readonly #wire: Wire
  readonly #options: HarnessOptions

  private constructor(wire: Wire, options: HarnessOptions) {
    this.#wire = wire
    this.#options = options
  }

  static async start(count: number, options: HarnessOptions = {}): Promise<Cluster> {
    const cluster = new Cluster(await Wire.start(), options)
    for (let at = 0; at < count; at += 1) await cluster.join()
    cluster.goTo(0)
    return cluster
  }

  /** Another node. */
  async join(): Promise<void> {
    const url = `http://127.0.0.1:${this.#wire.port}`
    const targets = { shop: this.shop }
    const shared = { directory: this.#directory, url, targets }
    this.nodes.push(await Harness.start({ ...this.#options, ...shared }))
  }

  /** Has new connections go to this node. */
  goTo(at: number): Harness {
    const node = this.node(at)
    this.#wire.to([node.broker.port])
    return node
  }

  node(at: number): Harness {
    const node = this.nodes[at]
    if (!node) throw new Error(`there is no node ${at}`)
    return node
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map(({ broker }) => broker.stop().catch(() => {})))
    await this.#wire[Symbol.asyncDispose]()
    await this.nodes[0]?.remove()
  }
}

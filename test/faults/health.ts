import { readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import type { BrokerProcess } from './broker-process.ts'

const EVERY = 20

/** Asks a broker how it is, again and again, and notes how long that took and how large it was. */
export class Health {
  readonly #node: BrokerProcess
  readonly #took: number[] = []
  #largest = 0
  #over = false
  readonly #asking: Promise<void>

  constructor(node: BrokerProcess) {
    this.#node = node
    this.#asking = this.#ask()
  }

  async #ask(): Promise<void> {
    while (!this.#over) {
      const began = performance.now()
      const answer = await fetch(`http://127.0.0.1:${this.#node.port}/healthz`)
      await answer.arrayBuffer()
      this.#took.push(performance.now() - began)
      this.#largest = Math.max(this.#largest, residentMegabytes(this.#node.pid))
      await wait(EVERY)
    }
  }

  /** Stops asking. @returns the answers' 99th percentile in milliseconds, and the most memory in MB */
  async stop(): Promise<{ answers: number; p99: number; megabytes: number }> {
    this.#over = true
    await this.#asking
    const sorted = this.#took.toSorted((a, b) => a - b)
    const p99 = sorted[Math.floor(sorted.length * 0.99)] ?? 0
    return { answers: sorted.length, p99, megabytes: this.#largest }
  }
}

/** Of a process, where /proc shows it. */
function residentMegabytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024
}

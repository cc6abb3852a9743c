import { once } from 'node:events'
import { WebSocket } from 'ws'
import {
  openSandboxLine,
  type SandboxLine,
  type SandboxOpening,
} from '../../src/client/sandbox-line.ts'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import type { SandboxServerMessage } from '../../src/protocol/sandbox.ts'
import type { Harness, TestClient } from './harness.ts'

const NOTHING: SandboxOpening = {
  profile: '',
  command: { argv: ['/usr/bin/claude', '-p'], directory: '/src', executable: '/usr/bin/claude' },
  domains: [],
}

/** Opens a sandbox as a supervisor does. */
export function sandboxOf(
  { url }: Pick<Harness, 'url'>,
  client: TestClient,
  open: Partial<SandboxOpening> & { signal?: AbortSignal; clock?: Clock } = {},
): Promise<SandboxLine> {
  const { signal = new AbortController().signal, clock = systemClock, ...asked } = open
  const authorizer = {
    headers: async ({ method, url: to }: { method: string; url: URL }) =>
      client.headers(method, to.pathname),
  }
  return openSandboxLine({
    broker: url,
    authorizer,
    clock,
    open: { ...NOTHING, ...asked },
    signal,
  })
}

/** A line whose messages a test writes and reads itself. */
export class RawSandboxLine {
  readonly closed: Promise<number>
  readonly #socket: WebSocket
  readonly #messages: SandboxServerMessage[] = []
  #wake: () => void = () => {}

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', (data) => {
      this.#messages.push(JSON.parse(String(data)))
      this.#wake()
    })
    this.closed = once(socket, 'close').then(([code]) => {
      this.#wake()
      return code as number
    })
  }

  /** @throws Error with the status where it is refused */
  static async open({ url }: Pick<Harness, 'url'>, client: TestClient): Promise<RawSandboxLine> {
    const headers = client.headers('GET', '/v1/sandbox')
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/sandbox`, { headers })
    const line = new RawSandboxLine(socket)
    await once(socket, 'open')
    return line
  }

  send(message: unknown): void {
    this.#socket.send(typeof message === 'string' ? message : JSON.stringify(message))
  }

  sendOpen(open: Partial<SandboxOpening> = {}): void {
    this.send({ type: 'open', ...NOTHING, ...open })
  }

  /** The next message, whatever it is. @throws Error when it closes first */
  async next(): Promise<SandboxServerMessage> {
    for (;;) {
      const message = this.#messages.shift()
      if (message) return message
      if (this.#socket.readyState >= WebSocket.CLOSING) throw new Error('closed')
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Cut off, as a lost network does. */
  cut(): void {
    this.#socket.terminate()
  }
}

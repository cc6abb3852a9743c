import type { Readable, Writable } from 'node:stream'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import {
  ErrorCode,
  type JSONRPCMessage,
  JSONRPCMessageSchema,
  type RequestId,
} from '@modelcontextprotocol/sdk/types.js'

/** The longest line taken, in bytes: what goes into a command's stdin, and room for the rest. */
const MAX_LINE = 4 * 1024 * 1024
const NEWLINE = 0x0a

/**
 * One JSON-RPC message a line. Unlike the SDK's own, a line that is no message or is too long is
 * answered (JSON-RPC 2.0 section 5.1) and ends nothing: other calls may be at work.
 */
export class StdioTransport implements Transport {
  onclose?: (() => void) | undefined
  onerror?: ((error: Error) => void) | undefined
  onmessage?: ((message: JSONRPCMessage) => void) | undefined
  readonly #input: Readable
  readonly #output: Writable
  #parts: Buffer[] = []
  #size = 0
  #closed = false

  constructor(streams: { input: Readable; output: Writable }) {
    this.#input = streams.input
    this.#output = streams.output
  }

  async start(): Promise<void> {
    const close = () => void this.close()
    this.#output.on('error', close)
    this.#input.on('error', close)
    this.#input.on('end', close)
    this.#input.on('data', (chunk: Buffer) => this.#take(chunk))
  }

  async send(message: JSONRPCMessage): Promise<void> {
    if (this.#closed) return
    await new Promise<void>((resolve) =>
      this.#output.write(`${JSON.stringify(message)}\n`, () => resolve()),
    )
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#input.pause()
    this.onclose?.()
  }

  #take(chunk: Buffer): void {
    let from = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      this.#keep(chunk.subarray(from, end))
      this.#endLine()
      from = end + 1
    }
    this.#keep(chunk.subarray(from))
  }

  #keep(part: Buffer): void {
    this.#size += part.length
    if (this.#size > MAX_LINE) this.#parts = []
    else if (part.length > 0) this.#parts.push(part)
  }

  #endLine(): void {
    const tooLong = this.#size > MAX_LINE
    const line = Buffer.concat(this.#parts).toString().trim()
    this.#parts = []
    this.#size = 0
    if (this.#closed) return
    if (tooLong) this.#refuse(ErrorCode.InvalidRequest, `longer than ${MAX_LINE} bytes`)
    else if (line !== '') this.#receive(line)
  }

  #receive(line: string): void {
    const value = jsonOf(line)
    const message = JSONRPCMessageSchema.safeParse(value)
    if (message.success) this.onmessage?.(message.data)
    else if (value === undefined) this.#refuse(ErrorCode.ParseError, 'not JSON')
    else this.#refuse(ErrorCode.InvalidRequest, 'not a JSON-RPC 2.0 message', idOf(value))
  }

  #refuse(code: ErrorCode, message: string, id?: RequestId): void {
    const error = { code, message }
    void this.send({ jsonrpc: '2.0', ...(id === undefined ? {} : { id }), error })
  }
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

function idOf(value: unknown): RequestId | undefined {
  if (typeof value !== 'object' || value === null || !('id' in value)) return undefined
  return typeof value.id === 'string' || Number.isSafeInteger(value.id)
    ? (value.id as RequestId)
    : undefined
}

/** Protocol versions and requests in the place of one (PostgreSQL manual, 54.7). */
export const REQUEST_CODES = {
  cancel: 80_877_102,
  ssl: 80_877_103,
  gssEncryption: 80_877_104,
} as const

/** Types of messages that a server sends while a connection starts. */
export const MESSAGE = {
  authentication: 'R',
  error: 'E',
  backendKey: 'K',
  ready: 'Z',
} as const

export interface Message {
  readonly type: string
  readonly body: Buffer
}

/** The key of a running connection, that a CancelRequest names. */
export interface BackendKey {
  readonly pid: number
  /** 4 bytes; up to 256 since protocol 3.2. */
  readonly secret: Buffer
}

/** A message with its type and length. */
export function encodeMessage({ type, body }: Message): Buffer {
  const head = Buffer.alloc(5)
  head.write(type, 'latin1')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

export function encodeAll(messages: readonly Message[]): Buffer {
  return Buffer.concat(messages.map(encodeMessage))
}

/** What a client sends first: no type, a length, a version or a code, and the rest. */
export function encodeStartup(code: number, rest: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(8)
  head.writeInt32BE(rest.length + 8)
  head.writeInt32BE(code, 4)
  return Buffer.concat([head, rest])
}

export function encodeParameters(parameters: ReadonlyMap<string, string>): Buffer {
  const words = [...parameters].flat().map((word) => `${word}\0`)
  return Buffer.from(`${words.join('')}\0`)
}

/** @returns undefined unless these are pairs of strings, each ended by a zero, and a last zero */
export function parseParameters(rest: Buffer): Map<string, string> | undefined {
  const words = rest.toString('utf8').split('\0')
  // The last word's zero, and the list's own.
  if (words.splice(-2).join('') !== '' || words.length % 2 !== 0) return undefined
  const parameters = new Map<string, string>()
  for (let index = 0; index < words.length; index += 2) {
    parameters.set(words[index] ?? '', words[index + 1] ?? '')
  }
  return parameters
}

export function encodeBackendKey({ pid, secret }: BackendKey): Buffer {
  const head = Buffer.alloc(4)
  head.writeInt32BE(pid)
  return Buffer.concat([head, secret])
}

/** @returns undefined where there is no secret */
export function parseBackendKey(body: Buffer): BackendKey | undefined {
  if (body.length <= 4) return undefined
  return { pid: body.readInt32BE(), secret: Buffer.from(body.subarray(4)) }
}

/** The server's own answer to what can't go on, by its SQLSTATE (PostgreSQL manual, appendix A). */
export function encodeFatal(sqlState: string, message: string): Buffer {
  const fields = ['SFATAL', 'VFATAL', `C${sqlState}`, `M${message}`]
  const body = Buffer.from(`${fields.map((field) => `${field}\0`).join('')}\0`)
  return encodeMessage({ type: MESSAGE.error, body })
}

import type { Duplex } from 'node:stream'
import { readExactly } from './inbox.ts'
import {
  type BackendKey,
  parseBackendKey,
  parseParameters,
  REQUEST_CODES,
} from './postgres-wire.ts'
import { Refusal } from './refusal.ts'

/** Bytes of a startup packet, as PostgreSQL has it (`MAX_STARTUP_PACKET_LENGTH`). */
const MAX_STARTUP = 10_000

const MAJOR_VERSION = 3

/** What a client wants of a new connection. */
export type Startup =
  | {
      readonly kind: 'session'
      /** Its protocol version, passed on as it is. */
      readonly version: number
      readonly parameters: Map<string, string>
    }
  | { readonly kind: 'cancel'; readonly key: BackendKey }

/**
 * Reads what a client begins with. Encryption is declined: it would end in this process anyway.
 * @throws Refusal where that isn't PostgreSQL's protocol 3
 */
export async function readStartup(client: Duplex, signal: AbortSignal): Promise<Startup> {
  const declined = new Set<number>()
  for (;;) {
    const length = (await readExactly(client, 4, signal)).readInt32BE()
    if (length < 8 || length > MAX_STARTUP) throw new Refusal('08P01', 'invalid startup packet')
    const packet = await readExactly(client, length - 4, signal)
    const code = packet.readInt32BE()
    const rest = packet.subarray(4)
    if (code !== REQUEST_CODES.ssl && code !== REQUEST_CODES.gssEncryption) {
      return code === REQUEST_CODES.cancel ? cancelOf(rest) : sessionOf(code, rest)
    }
    if (declined.has(code)) throw new Refusal('08P01', 'encryption was declined')
    declined.add(code)
    client.write('N')
  }
}

function cancelOf(rest: Buffer): Startup {
  const key = parseBackendKey(rest)
  if (!key) throw new Refusal('08P01', 'invalid cancel request')
  return { kind: 'cancel', key }
}

function sessionOf(version: number, rest: Buffer): Startup {
  if (version >>> 16 !== MAJOR_VERSION) {
    throw new Refusal(
      '0A000',
      `unsupported frontend protocol ${version >>> 16}.${version & 0xffff}`,
    )
  }
  const parameters = parseParameters(rest)
  if (!parameters) throw new Refusal('08P01', 'invalid startup packet')
  return { kind: 'session', version, parameters }
}

import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { SaslSession } from 'pg/lib/crypto/sasl'
import { encodeMessage, MESSAGE, type Message } from './postgres-wire.ts'
import { Refusal } from './refusal.ts'

/** Kinds of `Authentication` messages (PostgreSQL manual, 54.7). */
const AUTHENTICATION = { ok: 0, sasl: 10, saslContinue: 11, saslFinal: 12 } as const

/** From the client: `SASLInitialResponse` and `SASLResponse`. */
const SASL_RESPONSE = 'p'

/**
 * Signs in by SCRAM, with the channel bound where the server offers it. A server that wants the
 * password itself, or its MD5, doesn't get it.
 * @returns the server's messages for the client, up to `AuthenticationOk` or its error
 * @throws Refusal `28000`
 */
export async function authenticate({
  socket,
  password,
  next,
}: {
  socket: Socket
  password: string
  next: () => Promise<Message>
}): Promise<Message[]> {
  const scram = await import('pg/lib/crypto/sasl')
  const channel = socket instanceof TLSSocket ? socket : null
  const answer: Message[] = []
  let session: SaslSession | undefined
  for (;;) {
    const message = await next()
    if (message.type !== MESSAGE.authentication) {
      answer.push(message)
      if (message.type === MESSAGE.error) return answer
      continue
    }
    const kind = message.body.readInt32BE()
    const data = message.body.subarray(4)
    if (kind === AUTHENTICATION.ok) return [...answer, message]
    if (kind === AUTHENTICATION.sasl) {
      session = scram.startSession(mechanismsOf(data), channel)
      socket.write(initialResponse(session))
    } else if (kind === AUTHENTICATION.saslContinue && session) {
      await scram.continueSession(session, password, data.toString(), channel)
      socket.write(encodeMessage({ type: SASL_RESPONSE, body: Buffer.from(session.response) }))
    } else if (kind === AUTHENTICATION.saslFinal && session) {
      scram.finalizeSession(session, data.toString())
    } else {
      throw new Refusal('28000', 'the server wants another way to sign in than SCRAM-SHA-256')
    }
  }
}

function mechanismsOf(data: Buffer): string[] {
  return data
    .toString()
    .split('\0')
    .filter((name) => name !== '')
}

function initialResponse({ mechanism, response }: SaslSession): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(Buffer.byteLength(response))
  const body = Buffer.concat([Buffer.from(`${mechanism}\0`), length, Buffer.from(response)])
  return encodeMessage({ type: SASL_RESPONSE, body })
}

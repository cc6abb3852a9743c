import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'

const derive = promisify(pbkdf2)
/** RFC 7677, section 4: at least 4096, and some drivers refuse fewer. The passwords are random: more adds nothing. */
const ITERATIONS = 4096
const SALT_BYTES = 16
const KEY_BYTES = 32

/** A password nobody can guess: 256 random bits in ASCII, so that SASLprep (RFC 4013) leaves it as it is. */
export function newPassword(): string {
  return randomBytes(KEY_BYTES).toString('base64url')
}

/**
 * What PostgreSQL stores of a password, computed here so that the password itself is never part of a statement.
 * Format: PostgreSQL's `pg_authid.rolpassword`; keys as in RFC 5802, section 3.
 */
export async function scramVerifier(
  password: string,
  salt: Buffer = randomBytes(SALT_BYTES),
): Promise<string> {
  const salted = await derive(password, salt, ITERATIONS, KEY_BYTES, 'sha256')
  const hmac = (text: string): Buffer => createHmac('sha256', salted).update(text).digest()
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64')
  const serverKey = hmac('Server Key').toString('base64')
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${serverKey}`
}

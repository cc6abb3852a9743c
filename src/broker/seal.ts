import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { JitError } from '../lib/errors.ts'

const ALGORITHM = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Closes what the store keeps of secrets, so that a copy of the store gives none away. */
export interface Seal {
  /** @param purpose is bound to the text: what was sealed for one thing doesn't open as another */
  seal(text: string, purpose: string): string
  /** @throws JitError `store_failed`: another key, another purpose, or changed */
  open(sealed: string, purpose: string): string
  /** Whether a former key is needed to open it. @throws JitError `store_failed` */
  isFormer(sealed: string, purpose: string): boolean
}

/** A new key, in the form that `seal_key` refers to. */
export function newSealKey(): string {
  return randomBytes(KEY_BYTES).toString('base64url')
}

function bytesOf(key: string): Buffer {
  const bytes = Buffer.from(key, 'base64url')
  if (bytes.length === KEY_BYTES) return bytes
  throw new JitError('config_invalid', `seal_key: expected ${KEY_BYTES} bytes in base64url`)
}

function openWith(key: Buffer, sealed: string, purpose: string): string {
  const all = Buffer.from(sealed, 'base64url')
  const nonce = all.subarray(0, NONCE_BYTES)
  const tag = all.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES)
  const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(Buffer.from(purpose)).setAuthTag(tag)
  const body = all.subarray(NONCE_BYTES + TAG_BYTES)
  return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8')
}

/**
 * @param keys each 32 bytes in base64url: the first seals, the others are former ones, which still open
 * @throws JitError `config_invalid`
 */
export function createSeal(...keys: readonly [string, ...string[]]): Seal {
  const [current, ...former] = keys.map(bytesOf) as [Buffer, ...Buffer[]]
  const opened = (sealed: string, purpose: string) => {
    let cause: unknown
    for (const key of [current, ...former]) {
      try {
        return { text: openWith(key, sealed, purpose), former: key !== current }
      } catch (thrown) {
        cause = thrown
      }
    }
    throw new JitError('store_failed', 'what the store keeps sealed does not open', {
      hint: 'is seal_key the one this store was made with? Name a former one after it in a list',
      cause,
    })
  }
  return {
    seal(text, purpose) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv(ALGORITHM, current, nonce).setAAD(Buffer.from(purpose))
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64url')
    },
    open: (sealed, purpose) => opened(sealed, purpose).text,
    isFormer: (sealed, purpose) => opened(sealed, purpose).former,
  }
}

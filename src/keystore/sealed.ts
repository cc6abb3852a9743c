import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { JitError } from '../lib/errors.ts'
import { damaged, EntryDirectory } from './entry-file.ts'
import type { Keychain } from './keychain.ts'
import type { Keystore } from './keystore.ts'

const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/**
 * Entries in files, sealed with AES-256-GCM; the keychain holds the one key. (Windows' keychain
 * takes 2.5 KB a secret, less than a session.)
 */
export function keychainKeystore(directory: string, keychain: Keychain): Keystore {
  const entries = new EntryDirectory(directory)
  return {
    kind: 'keychain',
    get: async (name) => {
      const sealed = await entries.read(name)
      if (!sealed) return undefined
      const key = await existingKey(keychain)
      return unseal(sealed, { key, name, file: entries.fileOf(name) })
    },
    set: async (name, value) => {
      const key = await keyOf(keychain)
      await entries.write(name, seal(value, { key, name }))
    },
    delete: (name) => entries.remove(name),
  }
}

function seal(value: string, { key, name }: { key: Buffer; name: string }): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(name))
  const body = Buffer.concat([cipher.update(value, 'utf8'), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), body])
}

function unseal(sealed: Buffer, entry: { key: Buffer; name: string; file: string }): string {
  try {
    const tag = sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', entry.key, sealed.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    })
    decipher.setAAD(Buffer.from(entry.name)).setAuthTag(tag)
    const body = sealed.subarray(NONCE_BYTES + TAG_BYTES)
    return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8')
  } catch (cause) {
    throw damaged(entry.file, cause)
  }
}

async function existingKey(keychain: Keychain): Promise<Buffer> {
  const stored = await keychain.read()
  if (stored) return decode(stored)
  // libsecret gives the same answer for both.
  const message = 'the OS keychain is locked, or no longer holds the key of the sessions'
  throw new JitError('keystore_failed', message, { hint: 'unlock it, or else jit login' })
}

async function keyOf(keychain: Keychain): Promise<Buffer> {
  const stored = await keychain.read()
  if (stored) return decode(stored)
  await keychain.write(randomBytes(KEY_BYTES).toString('base64'))
  // Another process may have written its own meanwhile: what the keychain holds now counts.
  return existingKey(keychain)
}

function decode(stored: string): Buffer {
  const key = Buffer.from(stored, 'base64')
  if (key.length === KEY_BYTES) return key
  throw new JitError('keystore_failed', 'the key in the OS keychain is not one of jit', {
    hint: "remove the entry 'jit' from the keychain, then jit login",
  })
}

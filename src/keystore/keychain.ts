import { JitError } from '../lib/errors.ts'

/** One secret in the operating system's keychain. */
export interface Keychain {
  read(): Promise<string | undefined>
  write(secret: string): Promise<void>
}

const SERVICE = 'jit'
const ACCOUNT = 'keystore key'

/**
 * The OS keychain: Keychain Services, Credential Manager, or a Secret Service over D-Bus. Native
 * code, so it is loaded on first use only.
 * @throws JitError `keystore_failed` on use, where there is none
 */
export const systemKeychain: Keychain = {
  read: async () => (await answered((keytar) => keytar.getPassword(SERVICE, ACCOUNT))) ?? undefined,
  write: (secret) => answered((keytar) => keytar.setPassword(SERVICE, ACCOUNT, secret)),
}

async function answered<T>(ask: (keytar: typeof import('keytar')) => Promise<T>): Promise<T> {
  try {
    const { default: keytar } = await import('keytar')
    return await ask(keytar)
  } catch (cause) {
    throw new JitError('keystore_failed', 'the OS keychain does not answer', {
      hint: 'unlock it, or set JIT_KEYSTORE=file and sign in again',
      cause,
    })
  }
}

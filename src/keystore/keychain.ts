import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { JitError } from '../lib/errors.ts'

/** One secret in the operating system's keychain. */
export interface Keychain {
  read(): Promise<string | undefined>
  write(secret: string): Promise<void>
  /**
   * Whether it holds the secret, or would take one.
   * @param within milliseconds
   */
  answers(within: number): Promise<boolean>
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
  answers: probe,
}

/** Fails where nothing can be kept: a locked keychain that has nobody to ask reads as empty. */
const PROBE = `
const [keytar, service, account] = process.argv.slice(1)
const { default: keychain } = await import(keytar)
if ((await keychain.getPassword(service, account)) === null) {
  await keychain.setPassword(service, 'probe', 'probe')
  await keychain.deletePassword(service, 'probe')
}`

/** In a process of its own: one that waits for a keychain in vain can't end by itself for 25 s. */
async function probe(within: number): Promise<boolean> {
  const keytar = import.meta.resolve('keytar')
  const flags = ['--input-type=module', '-e', PROBE, '--', keytar, SERVICE, ACCOUNT]
  const child = spawn(process.execPath, flags, { stdio: 'ignore' })
  const timer = setTimeout(() => child.kill('SIGKILL'), within)
  try {
    const [code] = await once(child, 'exit')
    return code === 0
  } catch {
    return false
  } finally {
    clearTimeout(timer)
  }
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

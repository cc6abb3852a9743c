import { join } from 'node:path'
import { JitError } from '../lib/errors.ts'
import type { Paths } from '../lib/paths.ts'
import { EntryDirectory } from './entry-file.ts'
import { fileKeystore } from './file.ts'
import type { Keychain } from './keychain.ts'
import type { Keystore } from './keystore.ts'
import { memoryKeystore } from './memory.ts'

/** How long a keychain may take to answer before the file keystore is used. */
const KEYCHAIN_PATIENCE = 3000

interface Options {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly paths: Paths
  /** The OS keychain unless given. */
  readonly keychain?: () => Promise<Keychain>
}

/**
 * The keystore of this machine: what `JIT_KEYSTORE` names, else the one in use, else, on the first
 * `set`, the keychain if it answers within 3 s and the file keystore if not. So only a first sign-in
 * waits, and a command that finds nobody signed in loads no native code.
 * @throws JitError `usage` for an unknown `JIT_KEYSTORE`
 */
export async function openKeystore(options: Options): Promise<Keystore> {
  const choice = options.env.JIT_KEYSTORE || undefined
  if (choice === 'memory') return memoryKeystore()
  if (choice === 'file') return openFile(options)
  if (choice === 'keychain') return openKeychain(options)
  if (choice !== undefined) {
    throw new JitError('usage', `JIT_KEYSTORE is '${choice}'`, {
      hint: 'it may be keychain, file or memory',
    })
  }
  if (await new EntryDirectory(directoryOf(options, 'file')).holdsEntries())
    return openFile(options)
  if (await new EntryDirectory(directoryOf(options, 'keychain')).holdsEntries()) {
    return openKeychain(options)
  }
  return new UndecidedKeystore(() => firstThatAnswers(options))
}

function directoryOf(options: Options, kind: 'file' | 'keychain'): string {
  return join(options.paths.data, kind === 'file' ? 'keystore' : 'keychain')
}

function openFile(options: Options): Keystore {
  return fileKeystore(directoryOf(options, 'file'))
}

async function openKeychain(options: Options): Promise<Keystore> {
  const { keychainKeystore } = await import('./sealed.ts')
  return keychainKeystore(directoryOf(options, 'keychain'), await loadKeychain(options))
}

async function loadKeychain(options: Options): Promise<Keychain> {
  return options.keychain ? options.keychain() : (await import('./keychain.ts')).systemKeychain
}

async function firstThatAnswers(options: Options): Promise<Keystore> {
  const keychain = await loadKeychain(options)
  return (await keychain.answers(KEYCHAIN_PATIENCE)) ? openKeychain(options) : openFile(options)
}

/** Empty so far; where entries will rest is decided by the first of them. */
class UndecidedKeystore implements Keystore {
  readonly #decide: () => Promise<Keystore>
  #decided: Keystore | undefined

  constructor(decide: () => Promise<Keystore>) {
    this.#decide = decide
  }

  get kind(): Keystore['kind'] {
    return this.#decided?.kind ?? 'file'
  }

  async get(name: string): Promise<string | undefined> {
    return this.#decided?.get(name)
  }

  async set(name: string, value: string): Promise<void> {
    this.#decided ??= await this.#decide()
    await this.#decided.set(name, value)
  }

  async delete(name: string): Promise<void> {
    await this.#decided?.delete(name)
  }
}

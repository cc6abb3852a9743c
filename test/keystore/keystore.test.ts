import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Keychain } from '../../src/keystore/keychain.ts'
import { openKeystore } from '../../src/keystore/open.ts'
import { pathsFrom } from '../../src/lib/paths.ts'

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'jit-keystore-'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

/** A keychain as the operating system's, in memory. */
function fakeKeychain(): Keychain & { secret?: string } {
  const keychain: Keychain & { secret?: string } = {
    read: async () => keychain.secret,
    write: async (secret) => {
      keychain.secret = secret
    },
    answers: async () => true,
  }
  return keychain
}

const brokenKeychain: Keychain = {
  read: () => Promise.reject(new Error('no D-Bus')),
  write: () => Promise.reject(new Error('no D-Bus')),
  answers: async () => false,
}

function open(options: { kind?: string; keychain?: Keychain } = {}) {
  const { kind, keychain = brokenKeychain } = options
  return openKeystore({
    env: kind ? { JIT_KEYSTORE: kind } : {},
    paths: pathsFrom({ HOME: home }),
    keychain: async () => keychain,
  })
}

const directory = (kind: string) => join(home, '.local/share/jit', kind)

describe.each(['file', 'keychain', 'memory'])('any keystore: %s', (kind) => {
  test('gives back what was set, replaces it whole, and forgets it', async () => {
    const keystore = await open({ kind, keychain: fakeKeychain() })
    expect(keystore.kind).toBe(kind)
    expect(await keystore.get('session:a')).toBeUndefined()
    await keystore.set('session:a', 'first, and longer')
    await keystore.set('session:a', 'sécond')
    await keystore.set('session:b', 'other')
    expect(await keystore.get('session:a')).toBe('sécond')
    await keystore.delete('session:a')
    await keystore.delete('session:a')
    expect(await keystore.get('session:a')).toBeUndefined()
    expect(await keystore.get('session:b')).toBe('other')
  })
})

describe('files', () => {
  test('are for their owner alone, even where the folder was open', async () => {
    const keystore = await open({ kind: 'file' })
    await keystore.set('a', '1')
    await chmod(directory('keystore'), 0o755)
    await keystore.set('b', '2')
    expect((await stat(directory('keystore'))).mode & 0o777).toBe(0o700)
    for (const name of await readdir(directory('keystore'))) {
      expect((await stat(join(directory('keystore'), name))).mode & 0o777).toBe(0o600)
    }
  })

  test('written at once by many leave one whole value and nothing beside it', async () => {
    const keystores = await Promise.all(Array.from({ length: 8 }, () => open({ kind: 'file' })))
    const values = keystores.map((_, index) => `${index}`.repeat(10_000))
    await Promise.all(keystores.map((keystore, index) => keystore.set('a', values[index] ?? '')))
    expect(values).toContain(await keystores[0]?.get('a'))
    expect(await readdir(directory('keystore'))).toHaveLength(1)
  })

  test.each(['', '{', '[]', '{"name":"other","value":"x"}'])(
    'that are damaged (%j) are one clear error with the file and the way on',
    async (content) => {
      const keystore = await open({ kind: 'file' })
      await keystore.set('a', '1')
      const [name = ''] = await readdir(directory('keystore'))
      const file = join(directory('keystore'), name)
      await writeFile(file, content)
      await expect(keystore.get('a')).rejects.toMatchObject({
        code: 'keystore_failed',
        message: `${file} is damaged`,
        hint: 'remove it, then jit login',
      })
    },
  )
})

describe('the keychain’s keystore', () => {
  test('keeps nothing readable in its files, and one key in the keychain', async () => {
    const keychain = fakeKeychain()
    const keystore = await open({ kind: 'keychain', keychain })
    await keystore.set('a', 'canary-4711')
    const key = keychain.secret
    await keystore.set('b', 'x'.repeat(20_000))
    expect(keychain.secret).toBe(key)
    for (const name of await readdir(directory('keychain'))) {
      const content = await readFile(join(directory('keychain'), name), 'latin1')
      expect(content).not.toContain('canary')
    }
  })

  test('takes no entry for another, and none that was changed', async () => {
    const keychain = fakeKeychain()
    const keystore = await open({ kind: 'keychain', keychain })
    await keystore.set('a', '1')
    const [a = ''] = await readdir(directory('keychain'))
    const sealed = await readFile(join(directory('keychain'), a))
    await keystore.set('b', '2')
    const b = (await readdir(directory('keychain'))).find((name) => name !== a) ?? ''
    await writeFile(join(directory('keychain'), b), sealed)
    await expect(keystore.get('b')).rejects.toMatchObject({ code: 'keystore_failed' })
    sealed[sealed.length - 1] = (sealed.at(-1) ?? 0) ^ 1
    await writeFile(join(directory('keychain'), a), sealed)
    await expect(keystore.get('a')).rejects.toMatchObject({ code: 'keystore_failed' })
    await writeFile(join(directory('keychain'), a), 'cut')
    await expect(keystore.get('a')).rejects.toMatchObject({ code: 'keystore_failed' })
  })

  test('says so when the keychain has lost its key', async () => {
    const keychain = fakeKeychain()
    const keystore = await open({ kind: 'keychain', keychain })
    await keystore.set('a', '1')
    delete keychain.secret
    await expect(keystore.get('a')).rejects.toMatchObject({
      code: 'keystore_failed',
      hint: 'unlock it, or else jit login',
    })
  })
})

describe('where nothing was chosen', () => {
  test('the keychain is taken if it answers, and found again', async () => {
    const keychain = fakeKeychain()
    const keystore = await open({ keychain })
    await keystore.set('a', '1')
    expect(keystore.kind).toBe('keychain')
    expect(await (await open({ keychain })).get('a')).toBe('1')
  })

  test('files are taken where no keychain answers, and found again without asking it', async () => {
    const keystore = await open()
    expect(await keystore.get('a')).toBeUndefined()
    await keystore.set('a', '1')
    expect(keystore.kind).toBe('file')
    const again = await openKeystore({
      env: {},
      paths: pathsFrom({ HOME: home }),
      keychain: () => Promise.reject(new Error('asked')),
    })
    expect(await again.get('a')).toBe('1')
  })

  test('looking for a session that isn’t there asks no keychain', async () => {
    const keystore = await openKeystore({
      env: {},
      paths: pathsFrom({ HOME: home }),
      keychain: () => Promise.reject(new Error('asked')),
    })
    expect(await keystore.get('a')).toBeUndefined()
    await keystore.delete('a')
  })
})

test('an unknown JIT_KEYSTORE is refused, with those there are', async () => {
  await expect(open({ kind: 'vault' })).rejects.toMatchObject({
    code: 'usage',
    hint: 'it may be keychain, file or memory',
  })
})

import { readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import {
  type AskableKey,
  forgetAskable,
  readCachedAskable,
  refreshAskable,
} from '../../src/client/askable.ts'
import { ASKABLE } from '../cli/at-work.ts'
import { temporaryFolder } from '../folder.ts'

const KEY: AskableKey = {
  broker: 'https://jit.test',
  repository: 'github.com/acme/shop',
  branch: 'main',
}

let paths: { cache: string }
beforeEach(() => {
  paths = { cache: join(temporaryFolder('cache'), 'jit') }
})
const folder = () => join(paths.cache, 'askable')
const refresh = (key = KEY) => refreshAskable(paths, key, async () => ASKABLE)
const only = () => join(folder(), readdirSync(folder())[0] ?? '')

describe('what may be asked for is kept', () => {
  it('for whoever asked, where they asked it, and for nobody else to read', async () => {
    expect(readCachedAskable(paths, KEY)).toBeUndefined()
    expect(await refresh()).toEqual(ASKABLE)
    expect(readCachedAskable(paths, KEY)).toEqual(ASKABLE)
    for (const other of [{ agent: 'claude' }, { branch: 'x' }, { repository: '' }, { broker: '' }])
      expect(readCachedAskable(paths, { ...KEY, ...other })).toBeUndefined()
    expect(statSync(folder()).mode & 0o777).toBe(0o700)
    expect(statSync(only()).mode & 0o777).toBe(0o600)
  })

  it('for ten minutes', async () => {
    await refresh()
    const at = (minutes: number) => utimesSync(only(), 0, Date.now() / 1000 - minutes * 60)
    at(9.9)
    expect(readCachedAskable(paths, KEY)).toBeDefined()
    at(10.1)
    expect(readCachedAskable(paths, KEY)).toBeUndefined()
    at(-5)
    expect(readCachedAskable(paths, KEY)).toBeUndefined()
  })

  it('until somebody signs in or out', async () => {
    await refresh()
    forgetAskable(paths)
    expect(readCachedAskable(paths, KEY)).toBeUndefined()
    forgetAskable(paths)
  })

  it('not in a broken file, which the next answer replaces', async () => {
    await refresh()
    for (const broken of ['', '{', '[]', '{"version":1}', '{"version":"v","environments":[{}]}']) {
      writeFileSync(only(), broken)
      expect(readCachedAskable(paths, KEY)).toBeUndefined()
    }
    await refresh()
    expect(readCachedAskable(paths, KEY)).toEqual(ASKABLE)
  })

  it('for the last 64 places', async () => {
    for (let at = 0; at < 70; at++) await refresh({ ...KEY, branch: `b${at}` })
    expect(readdirSync(folder())).toHaveLength(64)
    expect(readCachedAskable(paths, { ...KEY, branch: 'b69' })).toBeDefined()
  })

  it('not where it can’t be: the answer is there all the same', async () => {
    const file = join(temporaryFolder('cache'), 'file')
    writeFileSync(file, '')
    paths = { cache: join(file, 'jit') }
    expect(await refresh()).toEqual(ASKABLE)
    expect(readCachedAskable(paths, KEY)).toBeUndefined()
  })
})

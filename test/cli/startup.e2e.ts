import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { JIT } from '../run/home.ts'

const run = promisify(execFile)

/** Loaded before the program: notes the URL of every module, Node's own included. */
const RECORDER = `
import { appendFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
registerHooks({
  load(url, context, next) {
    appendFileSync(process.env.LOADED, url + '\\n')
    return next(url, context)
  },
})
process.on('exit', () => {
  const own = process.moduleLoadList.filter((name) => name.startsWith('NativeModule '))
  appendFileSync(process.env.LOADED, own.join('\\n'))
})
`

/** Cedar, the keychain, servers and databases: what only few commands are for. */
const HEAVY =
  /cedar|keytar|\.node$|oidc-provider|hono|kysely|[/]pg[/]|[/]ws[/]|openid-client|broker-|development-|[/]mcp\.js|[/]tracing\.js/
/** Parts of Node that take milliseconds to load, and open sockets, processes or databases. */
const HEAVY_OF_NODE = /^NativeModule (http|https|http2|tls|child_process|sqlite|inspector)$/

let home: string

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'jit-startup-'))
  await writeFile(join(home, 'recorder.mjs'), RECORDER)
})

afterAll(() => rm(home, { recursive: true, force: true }))

async function modulesOf(...args: string[]): Promise<string[]> {
  const file = join(home, `loaded-${randomUUID()}`)
  const env = { PATH: process.env.PATH, HOME: home, JIT_KEYSTORE: 'file', LOADED: file }
  await run(process.execPath, ['--import', join(home, 'recorder.mjs'), JIT, ...args], { env })
  return (await readFile(file, 'utf8')).split('\n')
}

test.each(['--version', '--help'])(
  'jit %s loads neither Cedar, nor keytar, nor a server',
  async (flag) => {
    const loaded = await modulesOf(flag)
    expect(loaded.some((url) => url.endsWith('/dist/main.js'))).toBe(true)
    expect(loaded.filter((url) => HEAVY.test(url))).toEqual([])
    expect(loaded.filter((name) => HEAVY_OF_NODE.test(name))).toEqual([])
  },
)

test('what would be heavy is seen where a command needs it', async () => {
  const policies = join(import.meta.dirname, '../../examples/policies/policies')
  const loaded = await modulesOf('policy', 'check', policies)
  expect(loaded.some((url) => url.includes('cedar-wasm') && HEAVY.test(url))).toBe(true)
})

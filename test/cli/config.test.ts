import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { configFile, readConfig, readSandboxProfiles } from '../../src/cli/config.ts'
import { rememberBroker } from '../../src/cli/config-edit.ts'
import { pathsFrom } from '../../src/lib/paths.ts'

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'jit-config-'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

const paths = () => pathsFrom({ HOME: home })

async function write(text: string): Promise<void> {
  await mkdir(paths().config, { recursive: true })
  await writeFile(configFile(paths()), text)
}

test.each(['', '# nothing yet\n', '\n\n'])(
  'no file, and one that says nothing (%j), are empty',
  async (text) => {
    expect(await readConfig(paths())).toEqual({})
    await write(text)
    expect(await readConfig(paths())).toEqual({})
  },
)

test('many blank lines before the first key take no time', async () => {
  await write(`${'\n   # \n'.repeat(10_000)}\n    broker: https://jit.acme.dev\n`)
  expect(await readConfig(paths())).toEqual({ broker: 'https://jit.acme.dev' })
})

test('what a sign-in notes is read back, for each broker', async () => {
  const dev = { url: 'http://127.0.0.1:7420', issuer: 'http://127.0.0.1:7420/idp', current: true }
  const acme = {
    url: 'https://jit.acme.dev',
    issuer: 'https://idp.acme.dev/realms/x',
    current: false,
  }
  await rememberBroker(paths(), dev)
  await rememberBroker(paths(), acme)
  const config = {
    broker: dev.url,
    brokers: { [dev.url]: { issuer: dev.issuer }, [acme.url]: { issuer: acme.issuer } },
  }
  expect(await readConfig(paths())).toEqual(config)
  await rememberBroker(paths(), { ...acme, current: true })
  expect(await readConfig(paths())).toEqual({ ...config, broker: acme.url })
})

test('comments and order of a file written by hand stay', async () => {
  await write('# mine\nbrokers:\n  "https://a.dev": { issuer: https://idp.a.dev } # agreed\n')
  await rememberBroker(paths(), {
    url: 'https://b.dev',
    issuer: 'https://idp.b.dev',
    current: true,
  })
  const text = await readFile(configFile(paths()), 'utf8')
  expect(text).toContain('# mine')
  expect(text).toContain('# agreed')
  expect(await readConfig(paths())).toEqual({
    broker: 'https://b.dev',
    brokers: {
      'https://a.dev': { issuer: 'https://idp.a.dev' },
      'https://b.dev': { issuer: 'https://idp.b.dev' },
    },
  })
})

test('profiles of sandboxes say what each is given, durations in seconds', async () => {
  await write(`broker: https://a.dev
sandbox:
  profiles:
    claude:
      domains: [api.anthropic.com, "*.npmjs.org", internal.acme.dev:8443]
      readable: [~/notes, /opt/tools]
      environment: [ANTHROPIC_API_KEY]
      tasks: [plan]
      ttl: 1h
    plain: {}
`)
  expect(await readConfig(paths())).toMatchObject({ broker: 'https://a.dev' })
  expect(await readSandboxProfiles(paths())).toEqual({
    claude: {
      domains: ['api.anthropic.com', '*.npmjs.org', 'internal.acme.dev:8443'],
      readable: ['~/notes', '/opt/tools'],
      environment: ['ANTHROPIC_API_KEY'],
      tasks: ['plan'],
      ttl: 3600,
    },
    plain: {},
  })
})

test.each([
  ['broker: 7\n', 1, 'broker'],
  ['# x\nbroker: nonsense\n', 2, 'expected a URL'],
  ['broker: https://a.dev\nborker: x\n', 2, "did you mean 'broker'?"],
  ['broker: https://a.dev\nshell: x\n', 2, 'expected broker, brokers, sandbox'],
  ['brokers:\n  https://a.dev:\n    issuer: 1\n', 3, 'issuer'],
  ['broker: https://a.dev\nbroker: https://b.dev\n', 2, 'twice'],
  ['brokers:\n  https://a.dev:\n', 2, 'expected'],
  ['- a\n', 1, 'expected a map'],
  ['broker: [\n', 2, ''],
])(
  'a mistake (%j) is one error with file, line and what was expected',
  async (text, line, words) => {
    await write(text)
    const thrown = await readConfig(paths()).catch((error) => error)
    expect(thrown).toMatchObject({ code: 'config_invalid' })
    expect(thrown.message).toContain(`${configFile(paths())}:${line}: `)
    expect(thrown.message).toContain(words)
  },
)

test.each([
  ['sandbox: { profiles: { claude: { domain: [] } } }\n', 1, "did you mean 'domains'?"],
  ['sandbox:\n  profiles:\n    Claude: {}\n', 3, 'a lower-case letter'],
  ['sandbox: { profiles: { x: { domains: [https://a.dev/] } } }\n', 1, 'expected a domain'],
  ['sandbox: { profiles: { x: { readable: [src] } } }\n', 1, 'expected an absolute path'],
  ['sandbox: { profiles: { x: { environment: [A=1] } } }\n', 1, 'environment variable'],
  ['sandbox: { profiles: { x: { tasks: [] } } }\n', 1, 'at least one name'],
  ['sandbox: { profiles: { x: { ttl: soon } } }\n', 1, 'expected a duration'],
])(
  'a mistake in a sandbox profile (%j) stops who starts a sandbox, and nobody else',
  async (text, line, words) => {
    await write(text)
    const thrown = await readSandboxProfiles(paths()).catch((error) => error)
    expect(thrown).toMatchObject({ code: 'config_invalid' })
    expect(thrown.message).toContain(`${configFile(paths())}:${line}: `)
    expect(thrown.message).toContain(words)
    await expect(readConfig(paths())).resolves.toBeDefined()
  },
)

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { parseSync } from 'oxc-parser'
import { expect, test } from 'vitest'

const SRC = resolve(import.meta.dirname, '../../src')

const LEAF = ['lib', 'protocol']

/** Who may import whom, beside themselves: the arrows of the house run one way. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  protocol: ['lib'],
  keystore: LEAF,
  context: LEAF,
  policy: LEAF,
  targets: LEAF,
  auth: [...LEAF, 'keystore'],
  client: LEAF,
  sandbox: LEAF,
  shell: LEAF,
  run: [...LEAF, 'client', 'context', 'sandbox'],
  telemetry: ['lib'],
  broker: [...LEAF, 'policy', 'targets', 'telemetry'],
  dev: [...LEAF, 'policy', 'targets', 'broker'],
  cli: [...LEAF, 'keystore', 'context', 'auth', 'client', 'sandbox', 'run', 'shell', 'telemetry'],
  'main.ts': [...LEAF, 'keystore', 'auth', 'cli'],
}

const SERVER = ['policy', 'targets', 'broker', 'dev']
const SERVER_COMMANDS = /^cli\/commands\/(?:broker|dev|doctor|policy)(?:\/\w+)?\.ts$/

/** Packages that belong to one place. */
const ONE_PLACE: Readonly<Record<string, RegExp>> = {
  commander: /^cli\//,
  chalk: /^cli\//,
  '@inquirer/prompts': /^cli\//,
  keytar: /^keystore\/keychain\.ts$/,
  '@cedar-policy/cedar-wasm/nodejs': /^policy\//,
  pg: /^(targets\/postgres\/connection|broker\/store\/postgres)\.ts$/,
  'pg/lib/crypto/sasl': /^run\/ports\/sign-in\.ts$/,
  'node:sqlite': /^(broker\/store\/sqlite|dev\/provider-store)\.ts$/,
  'oidc-provider': /^dev\//,
  '@opentelemetry/sdk-trace': /^telemetry\/otel\.ts$/,
  pino: /^broker\/log\.ts$/,
  'prom-client': /^broker\/telemetry\/prometheus\.ts$/,
  'openid-client': /^auth\//,
  '@modelcontextprotocol/sdk/server/index.js': /^cli\/mcp\/server\.ts$/,
  '@modelcontextprotocol/sdk/types.js': /^cli\/mcp\/(server|stdio)\.ts$/,
}

interface Import {
  readonly from: string
  readonly to: string
  /** At run time, only when the code gets there. */
  readonly lazy: boolean
  readonly typeOnly: boolean
}

function sourceFiles(): string[] {
  return readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts'))
}

function importsOf(file: string): Import[] {
  const { module, errors } = parseSync(file, readFileSync(join(SRC, file), 'utf8'))
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`)
  const text = readFileSync(join(SRC, file), 'utf8')
  const inPlace = (specifier: string) =>
    specifier.startsWith('.') ? relative(SRC, resolve(SRC, dirname(file), specifier)) : specifier
  const entries = (list: readonly { isType: boolean }[]) =>
    list.length > 0 && list.every(({ isType }) => isType)
  return [
    ...module.staticImports.map(({ moduleRequest, entries: names }) => ({
      from: file,
      to: inPlace(moduleRequest.value),
      lazy: false,
      typeOnly: entries(names),
    })),
    ...module.staticExports.flatMap(({ entries: names }) =>
      names.flatMap(({ moduleRequest, isType }) =>
        moduleRequest
          ? [{ from: file, to: inPlace(moduleRequest.value), lazy: false, typeOnly: isType }]
          : [],
      ),
    ),
    ...module.dynamicImports.map(({ moduleRequest }) => ({
      from: file,
      to: inPlace(text.slice(moduleRequest.start, moduleRequest.end).replace(/^['"]|['"]$/g, '')),
      lazy: true,
      typeOnly: false,
    })),
  ]
}

const roomOf = (file: string) => file.split('/')[0] ?? file
const isInside = (to: string) => /\.(ts|json)$/.test(to)
const all = sourceFiles().flatMap(importsOf)

test('every room is on the plan', () => {
  expect(Object.keys(ALLOWED)).toEqual(expect.arrayContaining(sourceFiles().map(roomOf)))
})

test('imports run only along the arrows of the house', () => {
  const wrong = all.filter(({ from, to, lazy }) => {
    if (!isInside(to) || to.startsWith('..')) return false
    const [here, there] = [roomOf(from), roomOf(to)]
    if (here === there || ALLOWED[here]?.includes(there)) return false
    return !(lazy && SERVER.includes(there) && SERVER_COMMANDS.test(from))
  })
  expect(wrong).toEqual([])
})

test.each(Object.entries(ONE_PLACE))('%s is imported in its own place alone', (name, place) => {
  const users = all.filter(({ to, typeOnly }) => to === name && !typeOnly)
  expect(users.filter(({ from }) => !place.test(from))).toEqual([])
  expect(users.length).toBeGreaterThan(0)
})

test('every relative import names a file that is there, with its ending', () => {
  const files = new Set(sourceFiles())
  const wrong = all.filter(({ to }) => to.endsWith('.ts') && !to.startsWith('..') && !files.has(to))
  expect(wrong).toEqual([])
})

import type { Mistake, Path } from '../../lib/document.ts'
import { isMap } from '../../lib/document-schema.ts'
import { nearest } from '../../lib/nearest.ts'
import { isSettableVariable } from '../../lib/variables.ts'
import { BUILT_IN_ACTIONS } from '../../policy/vocabulary.ts'
import type { TargetKind } from '../../targets/target.ts'
import type { BrokerFile } from './schema.ts'
import { placeholdersOf } from './template.ts'
import { isLoopbackHost, isSecure, issuerKey } from './values.ts'

const RESERVED_TASKS: ReadonlySet<string> = new Set(BUILT_IN_ACTIONS)
const PASSWORD_IN_URL = /^[a-z][a-z0-9+.-]*:\/\/[^\s/@]*:[^\s/@]+@/i

/** What no schema of one value can see: names that must be declared elsewhere, and what is safe. */
export function* checkFile(file: BrokerFile): Generator<Mistake> {
  yield* checkTransport(file)
  yield* checkIssuers(file)
  yield* checkForge(file)
  if (!file.store.startsWith('sqlite:') && file.seal_key === undefined) {
    yield { path: ['seal_key'], message: 'expected one: all nodes over a PostgreSQL have the same' }
  }
  yield* checkMetrics(file)
  for (const key of ['groups', 'approvers'] as const) {
    const again = file[key].findIndex((group, index) => file[key].indexOf(group) !== index)
    if (again >= 0) yield { path: [key, again], message: 'expected each group once' }
  }
  for (const task of Object.keys(file.tasks)) {
    if (RESERVED_TASKS.has(task))
      yield { path: ['tasks', task], message: 'expected another name: this one is reserved' }
  }
  for (const [index, group] of file.approvers.entries()) {
    if (!file.groups.includes(group))
      yield { path: ['approvers', index], message: undeclared(group, 'groups', file.groups) }
  }
  yield* checkTransmitters(file)
  yield* checkHooks(file)
  if (file.limits.connections_per_address > file.limits.connections) {
    const message = 'expected at most limits.connections'
    yield { path: ['limits', 'connections_per_address'], message }
  }
  const { rotate, publish } = file.keys
  if (publish < 60) yield { path: ['keys', 'publish'], message: 'expected at least 1m' }
  if (rotate !== 'never' && publish * 2 > rotate)
    yield { path: ['keys', 'publish'], message: 'expected at most half of keys.rotate' }
  const { token_ttl, idle, max_age } = file.session
  if (token_ttl > idle)
    yield { path: ['session', 'token_ttl'], message: 'expected at most session.idle' }
  if (idle > max_age)
    yield { path: ['session', 'idle'], message: 'expected at most session.max_age' }
}

function* checkTransport(file: BrokerFile): Generator<Mistake> {
  if (new URL(file.url).pathname !== '/')
    yield { path: ['url'], message: 'expected no path: the broker serves at the root of its host' }
  const hint =
    'plain http would carry credentials for all to read; dangerously_allow_plain_http: true accepts that'
  if (file.dangerously_allow_plain_http) return
  const message = 'expected https, or http on loopback'
  if (!isSecure(file.url)) yield { path: ['url'], message, hint }
  if (file.grants && !isSecure(file.grants.issuer))
    yield { path: ['grants', 'issuer'], message, hint }
  if (!file.tls && !isLoopbackHost(file.listen.host)) {
    yield { path: ['listen'], message: 'expected a loopback address, or tls: { cert, key }', hint }
  }
}

function* checkIssuers({ identity, dangerously_allow_plain_http }: BrokerFile): Generator<Mistake> {
  const seen = new Set<string>()
  for (const [index, { issuer }] of identity.entries()) {
    const path = ['identity', index, 'issuer']
    if (seen.has(issuerKey(issuer)))
      yield { path, message: 'expected each issuer once, whatever its scheme' }
    seen.add(issuerKey(issuer))
    if (issuer.startsWith('spiffe:')) continue
    if (!dangerously_allow_plain_http && !isSecure(issuer)) {
      yield { path, message: 'expected https, or http on loopback' }
    }
  }
}

/** Transmitters speak of people whom `identity:` knows, and of no others. */
function* checkTransmitters(file: BrokerFile): Generator<Mistake> {
  const people = file.identity.filter(({ kind }) => kind === 'people')
  const issuers = people.map(({ issuer }) => issuer)
  for (const [index, { issuer, jwks_uri, identity }] of file.events.entries()) {
    const path = ['events', index]
    const again = file.events.findIndex((other) => other.issuer === issuer) !== index
    if (again) yield { path: [...path, 'issuer'], message: 'expected each issuer once' }
    if (!issuers.includes(identity ?? issuer)) {
      const [key, message] =
        identity === undefined
          ? [
              'issuer',
              "expected a people's issuer of identity:, or identity: with the one it speaks for",
            ]
          : ['identity', "expected a people's issuer of identity:"]
      yield { path: [...path, key], message }
    }
    for (const [key, url] of Object.entries({ issuer, jwks_uri })) {
      if (url === undefined || file.dangerously_allow_plain_http || isSecure(url)) continue
      yield { path: [...path, key], message: 'expected https, or http on loopback' }
    }
  }
}

function* checkHooks({ notify, approvers }: BrokerFile): Generator<Mistake> {
  for (const [name, { groups = [] }] of Object.entries(notify)) {
    for (const [index, group] of groups.entries()) {
      if (approvers.includes(group)) continue
      const message = undeclared(group, 'approvers', approvers)
      yield { path: ['notify', name, 'groups', index], message }
    }
  }
}

function* checkForge({ forge, dangerously_allow_plain_http }: BrokerFile): Generator<Mistake> {
  if (!forge) return
  if (!dangerously_allow_plain_http && !isSecure(forge.url))
    yield { path: ['forge', 'url'], message: 'expected https, or http on loopback' }
  if (forge.timeout > 10) yield { path: ['forge', 'timeout'], message: 'expected at most 10s' }
}

/** Metrics name targets and tasks: beyond this machine they are for those with the token, and the token for nobody else. */
function* checkMetrics(file: BrokerFile): Generator<Mistake> {
  if (!file.metrics) return
  const { listen, token } = file.metrics
  const path = ['metrics', 'listen']
  if (!listen && token === undefined)
    yield { path: ['metrics'], message: 'expected listen, token or both' }
  if (!listen || isLoopbackHost(listen.host)) return
  if (token === undefined)
    yield { path, message: 'expected a loopback address, or a token: beside it' }
  if (!file.tls && !file.dangerously_allow_plain_http)
    yield { path, message: 'expected a loopback address, or tls: { cert, key }' }
}

/** A target's common keys: its environment, its times and its templates. */
export function* checkTarget(
  name: string,
  kind: TargetKind<unknown>,
  file: BrokerFile,
): Generator<Mistake> {
  const target = file.targets[name]
  if (!target) return
  const environments = Object.keys(file.environments)
  if (!environments.includes(target.environment)) {
    const message = undeclared(target.environment, 'environments', environments)
    yield { path: ['targets', name, 'environment'], message }
  }
  const tasks = Object.keys(file.tasks)
  for (const task of isMap(target.tasks) ? Object.keys(target.tasks) : []) {
    if (tasks.includes(task)) continue
    yield { path: ['targets', name, 'tasks', task], message: undeclared(task, 'tasks', tasks) }
  }
  if (target.ttl.default && target.ttl.max && target.ttl.default > target.ttl.max) {
    yield { path: ['targets', name, 'ttl', 'default'], message: 'expected at most ttl.max' }
  }
  for (const [variable, template] of Object.entries(target.env)) {
    const message = templateMistake(variable, template, kind.valueNames)
    if (message) yield { path: ['targets', name, 'env', variable], message }
  }
}

function templateMistake(variable: string, template: string, known: readonly string[]) {
  if (!isSettableVariable(variable))
    return 'expected another variable: this one decides what programs run or trust'
  const names = placeholdersOf(template)
  if (!names) return 'expected placeholders like {{url}}'
  const unknown = names.find((name) => !known.includes(name))
  if (unknown === undefined) return undefined
  return `unknown placeholder: expected ${known.map((name) => `{{${name}}}`).join(', ')}`
}

function undeclared(name: string, where: string, known: readonly string[]): string {
  const meant = nearest(name, known)
  if (meant) return `not declared under ${where}: did you mean '${meant}'?`
  return `not declared under ${where}: expected ${known.join(', ') || 'it there'}`
}

/** A URL with a password in it, wherever it stands. */
export function* inlineSecrets(value: unknown, path: Path = []): Generator<Mistake> {
  if (typeof value === 'string' && PASSWORD_IN_URL.test(value) && !value.includes('{{')) {
    yield {
      path,
      message: 'expected a reference, never the secret itself',
      hint: 'put it into a variable or a file and write env:NAME or file:PATH',
    }
  }
  if (typeof value !== 'object' || value === null || path.length > 16) return
  for (const [key, inner] of Object.entries(value)) {
    yield* inlineSecrets(inner, [...path, Array.isArray(value) ? Number(key) : key])
  }
}

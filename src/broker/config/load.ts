import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import * as v from 'valibot'
import { type ConfigDocument, type Mistake, type Path, readDocument } from '../../lib/document.ts'
import { JitError } from '../../lib/errors.ts'
import { nearest } from '../../lib/nearest.ts'
import type { Schema } from '../../protocol/parse.ts'
import type { TargetKind } from '../../targets/target.ts'
import { checkFile, checkTarget, inlineSecrets } from './checks.ts'
import type { BrokerConfig, TargetConfig } from './config.ts'
import { BrokerFile, TARGET_KEYS } from './schema.ts'
import { keyMessage } from './values.ts'

type Kinds = readonly TargetKind<unknown>[]

const TARGET_NAMES = Object.keys(TARGET_KEYS)
const DEFAULT_TTL = 900
const DEFAULT_MAX_TTL = 3600

/**
 * Reads `broker.yaml`. Relative paths in it start from its own directory.
 * @throws JitError `config_invalid`: file, line, path, and what was expected
 */
export async function loadConfig(file: string, kinds: Kinds): Promise<BrokerConfig> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unknown error'
    throw new JitError('config_invalid', `${file}: cannot be read (${reason})`, { cause })
  }
  return parseConfig({ text, file, directory: dirname(resolve(file)), kinds })
}

/** As {@link loadConfig}, from text. */
export function parseConfig({
  text,
  file,
  directory,
  kinds,
}: {
  readonly text: string
  readonly file: string
  readonly directory: string
  readonly kinds: Kinds
}): BrokerConfig {
  const document = readDocument(text, file)
  refuse(document, inlineSecrets(document.value))
  const written = validate(document, BrokerFile, document.value, [])
  refuse(document, checkFile(written))
  const targets: Record<string, TargetConfig> = {}
  for (const name of Object.keys(written.targets)) {
    targets[name] = readTarget(document, { name, file: written, kinds })
  }
  return { file, directory, targets, ...resolvePaths(written, directory), ...settings(written) }
}

function refuse(document: ConfigDocument, mistakes: Iterable<Mistake>): void {
  for (const mistake of mistakes) throw document.mistake(mistake)
}

function readTarget(
  document: ConfigDocument,
  { name, file, kinds }: { name: string; file: BrokerFile; kinds: Kinds },
): TargetConfig {
  const { environment, type, sensitivity, ttl, env, ...own } = file.targets[name] ?? raise(name)
  const path = ['targets', name]
  const kind = kinds.find((candidate) => candidate.type === type)
  if (!kind) {
    const known = kinds.map((candidate) => candidate.type)
    const meant = nearest(type, known)
    const message = meant ? `did you mean '${meant}'?` : `expected ${known.join(', ')}`
    throw document.mistake({
      path: [...path, 'type'],
      message: `unknown kind of target: ${message}`,
    })
  }
  refuse(document, checkTarget(name, kind, file))
  const settings = validate(document, kind.config, own, path)
  const max = ttl.max ?? Math.max(DEFAULT_MAX_TTL, ttl.default ?? 0)
  const times = { default: ttl.default ?? Math.min(DEFAULT_TTL, max), max }
  return { environment, type, sensitivity, ttl: times, env, kind, settings }
}

function raise(name: string): never {
  throw new JitError('internal', `target ${name} vanished`)
}

/** The file as the schema says, or the mistake that explains most: an unknown key before what it left missing. */
function validate<T>(document: ConfigDocument, schema: Schema<T>, input: unknown, under: Path): T {
  const result = v.safeParse(schema, input)
  if (result.success) return result.output
  const unknown = result.issues.find(({ expected }) => expected === 'never')
  const issue = unknown ?? result.issues[0]
  const path = (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)))
  throw document.mistake({ path: [...under, ...path], message: explain(issue, schema, path) })
}

/** Valibot's own messages quote what was received, which may be a secret. */
function explain(issue: v.BaseIssue<unknown>, schema: Schema<unknown>, path: Path): string {
  if (!issue.message.startsWith('Invalid ')) return issue.message
  if (issue.input === undefined) return 'expected a value: this key is required'
  if (issue.expected === 'never') {
    const known = [
      ...knownKeys(schema, path.slice(0, -1)),
      ...(path.length > 1 ? [] : TARGET_NAMES),
    ]
    return keyMessage(String(path.at(-1)), known)
  }
  return `expected ${issue.expected ?? 'another value'}`
}

/** The keys that a schema knows at a place; kinds bring schemas of their own. */
function knownKeys(schema: unknown, path: Path): string[] {
  const { pipe, wrapped, entries, value, item } = schema as Partial<Record<string, unknown>>
  if (Array.isArray(pipe))
    return pipe.flatMap((step) => knownKeys({ ...step, pipe: undefined }, path))
  if (wrapped) return knownKeys(wrapped, path)
  const [key, ...rest] = path
  if (key === undefined) return Object.keys(entries ?? {})
  const next = (entries as Record<string, unknown> | undefined)?.[key] ?? value ?? item
  return next ? knownKeys(next, rest) : []
}

function resolvePaths(file: BrokerFile, directory: string) {
  const path = resolve(directory, file.store)
  const sealKey = file.seal_key
    ? { reference: file.seal_key, generate: false }
    : { reference: `file:${resolve(dirname(path), 'seal.key')}`, generate: true }
  const tls = file.tls && {
    cert: resolve(directory, file.tls.cert),
    key: resolve(directory, file.tls.key),
  }
  const policies = resolve(directory, file.policies)
  return { store: { kind: 'sqlite', path } as const, sealKey, policies, ...(tls ? { tls } : {}) }
}

function settings(file: BrokerFile) {
  const url = file.url.replace(/\/+$/, '')
  const { listen, groups, approvers, approval, acr, environments, labels, lifeline, session } = file
  return {
    url,
    grantsIssuer: file.grants?.issuer ?? `${url}/grants`,
    identity: file.identity.map(({ issuer, clients, groups: groupsClaim, ...rest }) => ({
      issuer,
      clients: new Map(Object.entries(clients)),
      groupsClaim,
      scopes: rest.scopes,
      verificationHosts: rest.verification_hosts,
    })),
    ...{ listen, groups, approvers, approval, acr, environments, labels },
    tasks: Object.keys(file.tasks),
    dangerouslyAllowPlainHttp: file.dangerously_allow_plain_http,
    limits: { grantsPerPrincipal: file.limits.grants_per_principal },
    lifeline: { grace: lifeline.grace, suspendGrace: lifeline.suspend_grace },
    session: { tokenTtl: session.token_ttl, idle: session.idle, maxAge: session.max_age },
  }
}

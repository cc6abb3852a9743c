import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type ConfigDocument, readDocument } from '../../lib/document.ts'
import { refuse, validateDocument } from '../../lib/document-schema.ts'
import { JitError } from '../../lib/errors.ts'
import { nearest } from '../../lib/nearest.ts'
import { withoutTrailing } from '../../lib/without-trailing.ts'
import type { TargetKind } from '../../targets/target.ts'
import { checkFile, checkTarget, inlineSecrets } from './checks.ts'
import type { BrokerConfig, ForgeConfig, StoreConfig, TargetConfig } from './config.ts'
import { readIdentity } from './read-identity.ts'
import { BrokerFile, TARGET_KEYS } from './schema.ts'

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
  const written = validateDocument(document, BrokerFile, { input: document.value })
  refuse(document, checkFile(written))
  const targets: Record<string, TargetConfig> = {}
  for (const name of Object.keys(written.targets)) {
    targets[name] = readTarget(document, { name, file: written, kinds })
  }
  const providers = readIdentity(document, { file: written, directory })
  return {
    ...{ file, directory, targets },
    ...providers,
    ...resolvePaths(written, directory),
    ...settings(written),
  }
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
  const settings = validateDocument(document, kind.config, {
    input: own,
    under: path,
    known: TARGET_NAMES,
  })
  const max = ttl.max ?? Math.max(DEFAULT_MAX_TTL, ttl.default ?? 0)
  const times = { default: ttl.default ?? Math.min(DEFAULT_TTL, max), max }
  return { environment, type, sensitivity, ttl: times, env, kind, settings }
}

function raise(name: string): never {
  throw new JitError('internal', `target ${name} vanished`)
}

function resolvePaths(file: BrokerFile, directory: string) {
  const store = storeOf(file.store, directory)
  const sealKey = sealKeyOf(file.seal_key, store)
  const tls = file.tls && {
    cert: resolve(directory, file.tls.cert),
    key: resolve(directory, file.tls.key),
  }
  const policies = resolve(directory, file.policies)
  return { store, sealKey, policies, ...(tls ? { tls } : {}) }
}

function storeOf(written: string, directory: string): StoreConfig {
  const [, path] = /^sqlite:(.*)$/.exec(written) ?? []
  if (path === undefined) return { kind: 'postgres', url: written }
  return { kind: 'sqlite', path: resolve(directory, path) }
}

/** Beside a SQLite store it is made at the first start; nodes that share one have to be given theirs. */
function sealKeyOf(
  written: readonly string[] | undefined,
  store: StoreConfig,
): BrokerConfig['sealKey'] {
  if (written !== undefined) return { references: written, generate: false }
  const beside = store.kind === 'sqlite' ? dirname(store.path) : ''
  return { references: [`file:${resolve(beside, 'seal.key')}`], generate: true }
}

function settings(file: BrokerFile) {
  const url = withoutTrailing(file.url, '/')
  const { listen, groups, approvers, approval, acr, environments, labels, lifeline, session } = file
  return {
    url,
    trustedProxies: file.trusted_proxies,
    grantsIssuer: file.grants?.issuer ?? `${url}/grants`,
    ...{ listen, groups, approvers, acr, environments, labels },
    approval: { lapse: approval.lapse, renewableFor: approval.renewable_for },
    events: file.events.map(({ issuer, audience, jwks_uri, identity }) => ({
      issuer,
      audience: audience ?? url,
      identity: identity ?? issuer,
      ...(jwks_uri === undefined ? {} : { jwksUri: jwks_uri }),
    })),
    notify: file.notify,
    keys: {
      ...(file.keys.rotate === 'never' ? {} : { rotate: file.keys.rotate }),
      publish: file.keys.publish,
    },
    ...(file.forge ? { forge: forgeOf(file.forge) } : {}),
    ...(file.metrics ? { metrics: file.metrics } : {}),
    tasks: Object.keys(file.tasks),
    onContextChange: Object.fromEntries(
      Object.entries(file.tasks).map(([task, settings]) => [
        task,
        settings?.on_context_change ?? 'revoke',
      ]),
    ),
    dangerouslyAllowPlainHttp: file.dangerously_allow_plain_http,
    limits: {
      grantsPerPrincipal: file.limits.grants_per_principal,
      agentWaiting: file.limits.agent_waiting,
      agentAsks: file.limits.agent_asks,
      agentCooldown: file.limits.agent_cooldown,
      requestsPerPrincipal: file.limits.requests_per_principal,
      requestsPerAddress: file.limits.requests_per_address,
      connections: file.limits.connections,
      connectionsPerAddress: file.limits.connections_per_address,
    },
    lifeline: { grace: lifeline.grace, suspendGrace: lifeline.suspend_grace },
    session: {
      tokenTtl: session.token_ttl,
      idle: session.idle,
      maxAge: session.max_age,
      delegatedMaxAge: session.delegated_max_age,
    },
  }
}

function forgeOf({ token, ...written }: NonNullable<BrokerFile['forge']>): ForgeConfig {
  const url = withoutTrailing(written.url, '/')
  return { ...written, url, ...(token === undefined ? {} : { token }) }
}

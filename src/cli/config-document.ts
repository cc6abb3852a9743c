import * as v from 'valibot'
import { readDocument } from '../lib/document.ts'
import { Duration, list, map, mapOf, validateDocument } from '../lib/document-schema.ts'
import { Domain } from '../protocol/sandbox.ts'
import { Name, VariableName } from '../protocol/values.ts'

const Address = v.pipe(v.string('expected a URL'), v.url('expected a URL'))

/** Of this machine: nothing relative, because a sandbox is started anywhere. */
const Path = v.pipe(
  v.string('expected a path'),
  v.maxLength(4096, 'expected at most 4096 characters'),
  v.regex(/^~?\//, 'expected an absolute path, or one under ~/'),
  v.check((path) => !path.includes('\0'), 'expected a path'),
)

const Paths = v.pipe(list(Path), v.maxLength(64, 'expected at most 64 paths'))

const Names = v.pipe(
  list(Name),
  v.minLength(1, 'expected at least one name'),
  v.maxLength(32, 'expected at most 32 names'),
)

/** What one sandbox is given beside what every one has. `ttl` in seconds. */
const SandboxSettings = map({
  /** What it may reach, where policy allows it. */
  domains: v.exactOptional(v.pipe(list(Domain), v.maxLength(64, 'expected at most 64 domains'))),
  readable: v.exactOptional(Paths),
  writable: v.exactOptional(Paths),
  hidden: v.exactOptional(Paths),
  /** Names of variables that are passed on. */
  environment: v.exactOptional(
    v.pipe(list(VariableName), v.maxLength(64, 'expected at most 64 names')),
  ),
  /** What may be asked for inside at most. */
  environments: v.exactOptional(Names),
  tasks: v.exactOptional(Names),
  targets: v.exactOptional(Names),
  /** For how long at most. */
  ttl: v.exactOptional(Duration),
})
export type SandboxSettings = v.InferOutput<typeof SandboxSettings>

/** `config.yaml`: what this user's commands start from. Nothing in it is secret. */
const ClientConfig = map({
  /** The broker that commands go to when neither an argument nor `JIT_BROKER` names one. */
  broker: v.exactOptional(Address),
  /** Brokers that the person has agreed to, each with the issuer it had then. */
  brokers: v.exactOptional(mapOf(Address, map({ issuer: Address }))),
  /** Judged where a sandbox is started: a mistake in it keeps nobody from revoking. */
  sandbox: v.exactOptional(v.unknown()),
})
export type ClientConfig = v.InferOutput<typeof ClientConfig>

/** The same file, as a sandbox is started by it. */
const SandboxConfig = v.looseObject({
  sandbox: v.exactOptional(map({ profiles: v.exactOptional(mapOf(Name, SandboxSettings)) })),
})

/**
 * The file with whatever may stand in it, what is said of sandboxes unread.
 * @throws JitError `config_invalid` with file, line and what was expected
 */
export function parseClientConfig(text: string, file: string): ClientConfig {
  const document = readDocument(text, file)
  return validateDocument(document, ClientConfig, { input: document.value })
}

/**
 * Sandbox profiles by name.
 * @throws JitError as {@link parseClientConfig}
 */
export function parseSandboxProfiles(text: string, file: string): Record<string, SandboxSettings> {
  const document = readDocument(text, file)
  const { sandbox } = validateDocument(document, SandboxConfig, { input: document.value ?? {} })
  return sandbox?.profiles ?? {}
}

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { JitError } from '../lib/errors.ts'
import type { Paths } from '../lib/paths.ts'
import type { ClientConfig, SandboxSettings } from './config-document.ts'

export function configFile(paths: Paths): string {
  return join(paths.config, 'config.yaml')
}

/**
 * The user's configuration; empty where there is none.
 * @throws JitError `config_invalid` with file, line and what was expected
 */
export async function readConfig(paths: Paths): Promise<ClientConfig> {
  const file = configFile(paths)
  const text = await readText(file)
  return text === undefined ? {} : (readSimple(text) ?? (await parseConfig(text, file)))
}

/**
 * The person's sandbox profiles, by name.
 * @throws JitError `config_invalid` with file, line and what was expected
 */
export async function readSandboxProfiles(paths: Paths): Promise<Record<string, SandboxSettings>> {
  const file = configFile(paths)
  const text = await readText(file)
  if (text === undefined || readSimple(text) || isEmpty(text)) return {}
  const { parseSandboxProfiles } = await import('./config-document.ts')
  return parseSandboxProfiles(text, file)
}

export async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    const { code } = cause as NodeJS.ErrnoException
    throw new JitError('config_invalid', `can't read ${file} (${code})`, { cause })
  }
}

const URL_TEXT = String.raw`https?://[\w.~%/-]+(?::\d+[\w.~%/-]*)?`
const LINE = new RegExp(
  `^(?:broker: (?<broker>${URL_TEXT})|(?<brokers>brokers:)| {2}(?<name>${URL_TEXT}):| {4}issuer: (?<issuer>${URL_TEXT}))$`,
)

/**
 * The file as `jit login` writes it, read without loading a YAML parser (27 ms, in every command).
 * Anything else is `undefined`, for the parser to judge.
 */
function readSimple(text: string): ClientConfig | undefined {
  let broker: string | undefined
  const brokers: Record<string, { issuer: string }> = {}
  let open: { name?: string } | undefined
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const found = LINE.exec(line)?.groups
    if (!found) return undefined
    if (found.broker && !broker && !open) broker = found.broker
    else if (found.brokers && !open) open = {}
    else if (found.name && open && !open.name && !brokers[found.name]) open = { name: found.name }
    else if (found.issuer && open?.name) {
      brokers[open.name] = { issuer: found.issuer }
      open = {}
    } else return undefined
  }
  if (open && (open.name || Object.keys(brokers).length === 0)) return undefined
  return { ...(broker ? { broker } : {}), ...(open ? { brokers } : {}) }
}

/** Nothing but comments. */
const isEmpty = (text: string): boolean =>
  text.split('\n').every((line) => /^\s*(?:#.*)?$/.test(line))

async function parseConfig(text: string, file: string): Promise<ClientConfig> {
  if (isEmpty(text)) return {}
  const { parseClientConfig } = await import('./config-document.ts')
  return parseClientConfig(text, file)
}

import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type SchemaJson, validate } from '@cedar-policy/cedar-wasm/nodejs'
import { JitError } from '../lib/errors.ts'
import { PolicySet } from './decide.ts'
import { failure, invalid, type ParsedPolicy, parsePolicy } from './parsed.ts'
import { builtInSchema, taskSchema } from './schema.ts'
import { locate, splitPolicies } from './source.ts'
import type { Vocabulary } from './vocabulary.ts'

const MAX_FILE_BYTES = 1024 * 1024

/** A policy file: its name inside the folder, and its text. */
export interface PolicyFile {
  readonly name: string
  readonly content: string
}

/**
 * Reads the `*.cedar` files of a folder (not those below it) as one set, checked against the
 * vocabulary: nothing of a set with a mistake is ever used.
 * @throws JitError `policy_invalid`: file, line and what was expected
 */
export async function loadPolicies(dir: string, vocabulary: Vocabulary): Promise<PolicySet> {
  const files = await readPolicyFiles(dir)
  if (files.length === 0) {
    throw new JitError('policy_invalid', `${dir}: expected at least one *.cedar file`, {
      hint: 'without a policy everything would be denied',
    })
  }
  return parsePolicies(files, vocabulary, dir)
}

/**
 * Policies from text; `dir` names where they are in errors.
 * @throws JitError `policy_invalid`
 */
export function parsePolicies(
  files: readonly PolicyFile[],
  vocabulary: Vocabulary,
  dir = '',
): PolicySet {
  const policies = files.flatMap(({ name, content }) =>
    splitPolicies(join(dir, name), content.toWellFormed()).map((source) =>
      parsePolicy(source, vocabulary),
    ),
  )
  if (policies.length === 0) throw invalid(dir, 'expected at least one policy')
  checkUnique(policies)
  const tasks = policies.filter(({ on }) => on === 'tasks')
  const builtIn = policies.filter(({ on }) => on === 'built-in')
  checkTypes(tasks, taskSchema(vocabulary))
  checkTypes(builtIn, builtInSchema())
  return new PolicySet({ version: versionOf(files), tasks, builtIn, vocabulary })
}

async function readPolicyFiles(dir: string): Promise<PolicyFile[]> {
  try {
    const names = (await readdir(dir)).filter((name) => name.endsWith('.cedar')).sort()
    return await Promise.all(
      names.map(async (name) => {
        const path = join(dir, name)
        if ((await stat(path)).size > MAX_FILE_BYTES) throw invalid(path, 'expected at most 1 MiB')
        return { name, content: await readFile(path, 'utf8') }
      }),
    )
  } catch (cause) {
    if (cause instanceof JitError) throw cause
    const message = `${dir}: can't be read: ${(cause as Error).message}`
    throw new JitError('policy_invalid', message, { cause })
  }
}

function checkUnique(policies: readonly ParsedPolicy[]): void {
  const seen = new Map<string, ParsedPolicy>()
  for (const policy of policies) {
    const first = seen.get(policy.id)
    if (first) {
      throw invalid(
        locate(policy.source),
        `@id("${policy.id}") is taken by ${locate(first.source)}: expected each to be unique`,
      )
    }
    seen.set(policy.id, policy)
  }
}

/** Cedar's strict validation. A warning is a mistake too: a policy that can never apply, for one. */
function checkTypes(policies: readonly ParsedPolicy[], schema: SchemaJson<string>): void {
  const byId = new Map(policies.map((policy) => [policy.id, policy]))
  const staticPolicies = Object.fromEntries(policies.map(({ id, source }) => [id, source.text]))
  const answer = validate({
    schema,
    policies: { staticPolicies },
    validationSettings: { mode: 'strict' },
  })
  const findings =
    answer.type === 'failure'
      ? answer.errors.map((error) => ({ policyId: '', error }))
      : [...answer.validationErrors, ...answer.validationWarnings]
  const first = findings[0]
  if (!first) return
  const policy = byId.get(first.policyId)
  throw policy
    ? failure(policy.source, first.error)
    : new JitError('policy_invalid', first.error.message)
}

/** SHA-256 over the sorted names and contents, in hex: the same policies have the same version anywhere. */
function versionOf(files: readonly PolicyFile[]): string {
  const hash = createHash('sha256')
  for (const { name, content } of [...files].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    hash.update(JSON.stringify([name, content]))
  }
  return hash.digest('hex')
}

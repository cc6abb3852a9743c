import { type DetailedError, type PolicyJson, policyToJson } from '@cedar-policy/cedar-wasm/nodejs'
import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import { nearest } from '../lib/nearest.ts'
import { isDomainName } from './domain.ts'
import { domainsIn, unknownLiterals } from './literals.ts'
import { type Sight, sightOf } from './sight.ts'
import { locate, locateLiteral, type PolicySource } from './source.ts'
import { BUILT_IN_ACTIONS, type Vocabulary } from './vocabulary.ts'

/** A policy that parses, names only what is declared and has an id of its own. */
export interface ParsedPolicy {
  readonly id: string
  readonly source: PolicySource
  /** As Cedar understood it. */
  readonly json: PolicyJson
  /** `@description("…")`: shown to those it refuses. */
  readonly description: string | undefined
  /** Whether it decides on tasks or on the broker's own actions; never on both. */
  readonly on: 'tasks' | 'built-in'
  /** What it sees of a hypothesis; `undefined`: nothing. */
  readonly sight: Sight | undefined
}

const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/** @throws JitError `policy_invalid` with file and line */
export function parsePolicy(source: PolicySource, vocabulary: Vocabulary): ParsedPolicy {
  const answer = policyToJson(source.text)
  if (answer.type === 'failure') throw failure(source, answer.errors[0])
  const { annotations } = answer.json
  const id = annotations?.id ?? ''
  if (!ID.test(id)) {
    throw invalid(locate(source), 'expected each policy to begin with an @id("…") of its own', {
      hint: 'up to 128 of A-Z a-z 0-9 . _ -: it names the policy in denials and in the audit log',
    })
  }
  checkLiterals(source, answer.json, vocabulary)
  return {
    id,
    source,
    json: answer.json,
    description: annotations?.description,
    on: subjectOf(source, answer.json),
    sight: sightOf(answer.json),
  }
}

function checkLiterals(source: PolicySource, policy: PolicyJson, vocabulary: Vocabulary): void {
  const misspelt = domainsIn(policy).find((name) => !isDomainName(name))
  if (misspelt !== undefined) {
    throw invalid(
      locateLiteral(source, misspelt),
      `domain '${misspelt}': expected a name such as example.com or *.example.com`,
      { hint: 'in lower case, without a port: that is resource.port' },
    )
  }
  const unknown = unknownLiterals(policy, vocabulary)[0]
  if (!unknown) return
  const meant = nearest(unknown.value, unknown.declared)
  throw invalid(
    locateLiteral(source, unknown.value),
    `${unknown.what} '${unknown.value}' is not declared${meant ? `: did you mean '${meant}'?` : ''}`,
    { hint: `expected one of: ${unknown.declared.join(', ') || '(none declared)'}` },
  )
}

/** An unconstrained action means any task: seeing, revoking and auditing have to be named. */
function subjectOf(source: PolicySource, { action }: PolicyJson): 'tasks' | 'built-in' {
  if (action.op === 'All') return 'tasks'
  const named = 'entities' in action ? action.entities : 'entity' in action ? [action.entity] : []
  const builtIn = named.filter((entity) => {
    const { id } = '__entity' in entity ? entity.__entity : entity
    return (BUILT_IN_ACTIONS as readonly string[]).includes(id)
  })
  if (builtIn.length === 0) return 'tasks'
  if (builtIn.length === named.length) return 'built-in'
  throw invalid(
    locate(source),
    `a policy names tasks or ${BUILT_IN_ACTIONS.join(', ')}, not both`,
    {
      hint: 'write two policies: they are decided on different resources and contexts',
    },
  )
}

/** Cedar's complaint about a policy, where it is and what was expected. */
export function failure(source: PolicySource, error: DetailedError | undefined): JitError {
  const place = error?.sourceLocations?.[0]
  const expected = place?.label ? ` (${place.label})` : ''
  const message = (error?.message ?? 'not a policy')
    .replace(/^failed to parse policy(?: with id `.*?`)? from string: /, '')
    .replace(/^for policy `.*?`, /, '')
  return invalid(
    locate(source, place?.start),
    message + expected,
    error?.help ? { hint: error.help } : {},
  )
}

export function invalid(where: string, message: string, options: { hint?: string } = {}): JitError {
  return new JitError('policy_invalid', escapeForDisplay(`${where}: ${message}`), options)
}

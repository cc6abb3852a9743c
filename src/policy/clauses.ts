import {
  type Expr,
  isAuthorized,
  type PolicyJson,
  policyToText,
} from '@cedar-policy/cedar-wasm/nodejs'
import type { PreparedCall } from './prepared.ts'

/** One of the things that must hold for a policy to apply, each a policy of its own. */
export interface Clause {
  readonly part: 'principal' | 'action' | 'resource' | 'condition'
  readonly policy: PolicyJson
}

const ANY: PolicyJson = {
  effect: 'permit',
  principal: { op: 'All' },
  action: { op: 'All' },
  resource: { op: 'All' },
  conditions: [],
}

/** What a policy asks for, piece by piece: its scope, and each member of `a && b` and of `unless { a || b }`. */
export function clausesOf({ principal, action, resource, conditions }: PolicyJson): Clause[] {
  return [
    ...scopesOf(principal).map(
      (scope): Clause => ({ part: 'principal', policy: { ...ANY, principal: scope } }),
    ),
    { part: 'action', policy: { ...ANY, action } },
    { part: 'resource', policy: { ...ANY, resource } },
    ...conditions.flatMap(({ kind, body }) =>
      membersOf(body, kind === 'when' ? '&&' : '||').map(
        (member): Clause => ({
          part: 'condition',
          policy: { ...ANY, conditions: [{ kind, body: member }] },
        }),
      ),
    ),
  ]
}

/** `principal is Human in Group::"…"` are two things. */
function scopesOf(principal: PolicyJson['principal']): PolicyJson['principal'][] {
  if (principal.op !== 'is' || !principal.in) return [principal]
  const { entity_type, in: within } = principal
  return [
    { op: 'is', entity_type },
    { op: 'in', ...within },
  ]
}

function membersOf(body: Expr, operator: '&&' | '||'): Expr[] {
  const sides = (body as Readonly<Record<string, { left: Expr; right: Expr } | undefined>>)[
    operator
  ]
  if (!sides) return [body]
  return [...membersOf(sides.left, operator), ...membersOf(sides.right, operator)]
}

/**
 * Those that don't hold in a call. One that can't be evaluated (a label that a clause before it
 * asks for) doesn't count while another doesn't hold.
 */
export function unmetOf(clauses: readonly Clause[], call: PreparedCall): Clause[] {
  const staticPolicies = Object.fromEntries(
    clauses.map(({ policy }, index) => [String(index), policy]),
  )
  const answer = isAuthorized({ ...call, policies: { staticPolicies } })
  if (answer.type === 'failure') return []
  const { reason, errors } = answer.response.diagnostics
  const failed = new Set(errors.map(({ policyId }) => policyId))
  const unmet = clauses.filter((_, index) => !reason.includes(String(index)))
  const told = unmet.filter((clause) => !failed.has(String(clauses.indexOf(clause))))
  return told.length > 0 ? told : unmet
}

/** A clause in Cedar: `context.claimed.branch == "main"`, `principal in Group::"shop-devs"`. */
export function textOfClause({ part, policy }: Clause): string {
  const answer = policyToText(policy)
  if (answer.type === 'failure') return part
  const text = answer.text.trim().replace(/;$/, '').trimEnd()
  if (part !== 'condition') {
    const scope = /^permit\(([\s\S]*)\)$/.exec(text)?.[1] ?? text
    const pieces = scope.split(/, (?=principal|action|resource)/)
    return pieces.find((piece) => piece.startsWith(part)) ?? part
  }
  const [, kind, body = text] = /\) (when|unless) \{ ([\s\S]*) \}$/.exec(text) ?? []
  return kind === 'unless' ? `unless ${body}` : body
}

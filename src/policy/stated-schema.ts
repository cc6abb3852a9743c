import * as v from 'valibot'
import { Duration, Flag, list, map, mapOf, Text } from '../lib/document-schema.ts'
import { DELIVERIES } from '../protocol/delivery.ts'
import { Principal } from '../protocol/principal.ts'
import { Domain } from '../protocol/sandbox.ts'
import { APPROVAL_METHODS } from './question.ts'
import { BUILT_IN_ACTIONS } from './vocabulary.ts'

const oneOf = <const Options extends readonly string[]>(options: Options) =>
  v.picklist(options, `expected ${options.join(', ')}`)

/** One shape for text, another for anything else: so that a mistake is told in the terms of the right one. */
const textOr = <
  const Short extends v.GenericSchema<unknown, unknown>,
  const Long extends v.GenericSchema<unknown, unknown>,
>(
  short: Short,
  long: Long,
) => v.lazy((input): Short | Long => (typeof input === 'string' ? short : long))

const Anything = v.pipe(v.string('expected text'), v.maxLength(2048))

/** Who asks; whatever isn't said is that of some person. */
const StatedPrincipal = map({
  kind: v.optional(oneOf(Principal.entries.kind.options), 'human'),
  id: v.optional(Text),
  groups: v.optional(list(Text), []),
  /** Of an agent: a name under `principals`, or an id. */
  owner: v.optional(Text),
})
export type StatedPrincipal = v.InferOutput<typeof StatedPrincipal>

/** A name under `principals`, or the principal itself. */
const Who = textOr(Text, StatedPrincipal)

const PEOPLE = 'expected 1, 2 or a list of people'

const Approvals = mapOf(
  Text,
  v.union([v.picklist([1, 2]), v.pipe(v.array(Text), v.minLength(1))], PEOPLE),
)

const StatedCommand = textOr(
  Text,
  v.lazy((input) =>
    Array.isArray(input)
      ? v.pipe(list(Anything), v.minLength(1, 'expected a command'))
      : map({
          argv: v.pipe(list(Anything), v.minLength(1, 'expected a command')),
          executable: v.optional(Text),
          directory: v.optional(Text, '/'),
        }),
  ),
)

const TIME = 'expected a time in UTC like 2026-01-05T09:30:00Z'

const Time = v.pipe(
  v.string(TIME),
  v.check((text) => text.endsWith('Z') && !Number.isNaN(Date.parse(text)), TIME),
  v.transform((text) => Date.parse(text)),
)

const AGE = 'expected a duration like 15m, or unknown'

/** Attributes as policies read them, in the spelling of YAML. Absent: what `stated-request.ts` takes for usual. */
const StatedContext = map({
  repository: v.optional(Anything),
  branch: v.optional(Anything),
  commit: v.optional(Anything),
  claimed: v.optional(
    map({
      repository: v.optional(Anything, ''),
      branch: v.optional(Anything, ''),
      commit: v.optional(Anything, ''),
      dirty: v.optional(Flag, false),
      commit_on_branch: v.optional(Flag, false),
      branch_protected: v.optional(Flag, false),
    }),
  ),
  command: v.optional(StatedCommand),
  reason: v.optional(Anything),
  ticket: v.optional(Anything),
  labels: v.optional(
    mapOf(Text, v.union([v.string(), v.boolean(), v.number()], 'expected a string, bool or long')),
  ),
  ttl: v.optional(Duration),
  time: v.optional(Time),
  authentication: v.optional(
    map({
      acr: v.optional(Anything, ''),
      amr: v.optional(list(Text), []),
      age: v.optional(v.union([v.literal('unknown'), Duration], AGE)),
    }),
  ),
  approvals: v.optional(Approvals),
  delivery: v.optional(oneOf(DELIVERIES)),
  break_glass: v.optional(Flag),
  method: v.optional(oneOf(APPROVAL_METHODS)),
})
export type StatedContext = v.InferOutput<typeof StatedContext>

/** A request: for a task, or to do one of the broker's own actions. */
const REQUEST_KEYS = {
  principal: v.optional(Who, {}),
  task: v.optional(Text),
  environment: v.optional(Text),
  targets: v.optional(list(Text), []),
  action: v.optional(oneOf(BUILT_IN_ACTIONS)),
  /** Whose grant is to be seen, revoked or approved. */
  grant: v.optional(map({ principal: v.optional(Who, {}), task: Text, environment: Text })),
  /** Who is to be offboarded. */
  whom: v.optional(Who),
  /** What a sandbox is to reach, and its profile. */
  domain: v.optional(Domain),
  profile: v.optional(Text),
  context: v.optional(StatedContext, {}),
}
export const StatedRequest = map(REQUEST_KEYS)
export type StatedRequest = v.InferOutput<typeof StatedRequest>

const DECISION = oneOf(['permit', 'deny', 'obligation'])

/** What should come of it. */
const Expected = textOr(
  DECISION,
  map({
    decision: v.optional(DECISION),
    sign_in: v.optional(
      v.union([v.boolean(), list(Text)], 'expected true, false or a list of acr'),
    ),
    approvals: v.optional(mapOf(Text, v.picklist([1, 2], 'expected 1 or 2'))),
    policies: v.optional(list(Text)),
  }),
)

/** A file of cases. */
export const CaseDocument = map({
  principals: v.optional(mapOf(Text, StatedPrincipal), {}),
  /** Of every case that doesn't say otherwise. */
  context: v.optional(StatedContext, {}),
  cases: v.pipe(
    list(map({ name: Text, ...REQUEST_KEYS, expect: Expected })),
    v.minLength(1, 'expected at least one case'),
  ),
})
export type CaseDocument = v.InferOutput<typeof CaseDocument>

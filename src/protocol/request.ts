import * as v from 'valibot'
import { Delivery } from './delivery.ts'
import { byName, Name, OpaqueId, Seconds, text, whole } from './values.ts'

export const AUTHORIZATION_TYPE = 'https://jit-elevate.dev/authorization/task'

/** Characters of a whole command line: it is recorded, shown to approvers and listed. */
const MAX_COMMAND_LENGTH = 32_768

/** What the client says of where it stands. Nothing here is a fact; absent is `""`. */
export const ClaimedContext = v.strictObject({
  /** `host/owner/name`, from the URL of the remote. */
  repository: text(512),
  /** Short name (`main`), `""` when detached. */
  branch: text(512),
  /** Object id in hex. */
  commit: text(64),
  /** Whether tracked files differ from the commit. */
  dirty: v.boolean(),
})
export type ClaimedContext = v.InferOutput<typeof ClaimedContext>

/** What is to be run: shown to approvers, recorded, and part of what an approval is bound to. */
export const Command = v.strictObject({
  argv: v.pipe(
    v.array(v.pipe(v.string(), whole)),
    v.minLength(1, 'expected a command'),
    v.maxLength(4096, 'expected at most 4096 arguments'),
    v.check(
      (argv) => argv.reduce((sum, word) => sum + word.length, 0) <= MAX_COMMAND_LENGTH,
      'expected at most 32,768 characters in all: the command is recorded',
    ),
  ),
  /** Absolute path of the working directory. */
  directory: text(4096),
  /** Absolute path that `argv[0]` resolved to. */
  executable: text(4096),
})
export type Command = v.InferOutput<typeof Command>

/** One elevation asked for, in the shape of RFC 9396 authorization details. */
export const AuthorizationDetails = v.strictObject({
  type: v.literal(AUTHORIZATION_TYPE, `expected '${AUTHORIZATION_TYPE}'`),
  environment: Name,
  task: Name,
  /** Empty: every target of the environment that is configured for the task. */
  targets: v.pipe(v.array(Name), v.maxLength(32, 'expected at most 32 targets')),
  /** Absent: the shortest default of the targets. */
  ttl: v.exactOptional(Seconds),
  reason: text(2000),
  /** An emergency: only where policy permits it, told to all approvers, and listed until acknowledged. */
  break_glass: v.optional(v.boolean(), false),
  ticket: text(256),
  /** How credentials are to reach the command. Absent: for an agent by proxy where the kind has it, else in the environment. */
  delivery: v.exactOptional(Delivery),
  labels: byName(v.union([text(256), v.boolean(), v.pipe(v.number(), v.safeInteger())])),
  claimed: ClaimedContext,
  command: Command,
})
export type AuthorizationDetails = v.InferOutput<typeof AuthorizationDetails>

/** The first message on a lifeline that asks. */
export const GrantRequest = v.strictObject({
  /** Idempotency key: the same key and details from the same session get the same grant. */
  key: OpaqueId,
  details: AuthorizationDetails,
})
export type GrantRequest = v.InferOutput<typeof GrantRequest>

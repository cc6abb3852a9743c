import * as v from 'valibot'
import { Principal } from './principal.ts'
import { Problem } from './problem.ts'
import { Command } from './request.ts'
import { Name, Timestamp, text } from './values.ts'

/** A host name, or `*.` and the name that all those below it end with; with `:port` for that port alone. */
export const Domain = v.pipe(
  v.string(),
  v.maxLength(260),
  v.regex(
    /^(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9](?::[0-9]{1,5})?$/,
    'expected a domain such as api.example.com, *.example.com or api.example.com:8443',
  ),
  v.check((domain) => {
    const [, port] = domain.split(':')
    return port === undefined || (Number(port) >= 1 && Number(port) <= 65_535)
  }, 'expected a port from 1 to 65535'),
)

const Domains = v.pipe(v.array(Domain), v.maxLength(64, 'expected at most 64 domains'))

/** What a sandbox was kept from reaching, and how often. */
export const Refusal = v.strictObject({
  /** `""`: of many hosts together. */
  host: text(255),
  port: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535)),
  count: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
})
export type Refusal = v.InferOutput<typeof Refusal>

/** One sandbox: `GET /v1/sandboxes`, `opened`. */
export const Sandbox = v.object({
  id: v.string(),
  /** The agent that is in it; `owner` is whose copilot it is. */
  principal: Principal,
  profile: text(64),
  command: Command,
  started_at: Timestamp,
  /** When its session ends at the latest. */
  expires_at: Timestamp,
  /** What it may reach. */
  domains: v.array(v.string()),
  /** What its profile names and policy refused. */
  refused: v.array(v.string()),
  /** Ids of the grants that it holds. */
  grants: v.array(v.string()),
})
export type Sandbox = v.InferOutput<typeof Sandbox>

/** `GET /v1/sandboxes?scope=mine|all` */
export const Sandboxes = v.object({ sandboxes: v.array(Sandbox) })
export type Sandboxes = v.InferOutput<typeof Sandboxes>

/** Supervisor to broker, on `/v1/sandbox`: a WebSocket that the sandbox lives on, with the agent's session. */
export const SandboxClientMessage = v.variant('type', [
  v.strictObject({
    type: v.literal('open'),
    profile: v.union([v.literal(''), Name]),
    command: Command,
    domains: Domains,
  }),
  /** Takes a sandbox of this session over after the connection was lost. */
  v.strictObject({ type: v.literal('reopen'), sandbox: text(64) }),
  /** What the sandbox tried to reach and may not: recorded. */
  v.strictObject({
    type: v.literal('refusals'),
    refusals: v.pipe(v.array(Refusal), v.minLength(1), v.maxLength(32)),
  }),
  /** The command ended: the session ends with it where it was delegated for this sandbox. */
  v.strictObject({ type: v.literal('close') }),
])
export type SandboxClientMessage = v.InferOutput<typeof SandboxClientMessage>

/** Broker to supervisor. */
export const SandboxServerMessage = v.variant('type', [
  v.object({ type: v.literal('opened'), sandbox: Sandbox }),
  /** Everything in the sandbox is to be stopped at once; the connection closes with `done`. */
  v.object({ type: v.literal('ended'), reason: v.string() }),
  v.object({
    type: v.literal('problem'),
    problem: Problem,
  }),
])
export type SandboxServerMessage = v.InferOutput<typeof SandboxServerMessage>

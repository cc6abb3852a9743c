import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BrokerClient } from '../client/broker.ts'
import { formatDuration } from '../lib/duration.ts'
import { parseMarkerLine } from '../lib/marker-line.ts'
import type { Grant } from '../protocol/grant.ts'
import { type Candidate, type Completing, restingClient, soon } from './complete-from.ts'
import { shellWords } from './shell-words.ts'

/** My own that live or wait: what this machine knows of by itself, and what the broker says in time. */
export async function grants(from: Completing): Promise<Candidate[]> {
  const known = (await ask(from, (client) => client.grants('mine'))) ?? []
  const open = known.filter(({ state }) => OPEN.includes(state))
  const ids = new Set(known.map(({ id }) => id))
  const here = markers(from).filter(({ value }) => !ids.has(value))
  return [...here, ...open.map((grant) => candidate(grant, from))]
}

const OPEN: readonly Grant['state'][] = ['requested', 'pending', 'approved', 'active', 'revoking']
const WAITING: readonly Grant['state'][] = ['pending', 'approved']

/** What `jit exec --grant` may go on with. */
export async function requests(from: Completing): Promise<Candidate[]> {
  const known = (await ask(from, (client) => client.grants('mine'))) ?? []
  const waiting = known.filter(({ state }) => WAITING.includes(state))
  return waiting.map((grant) => candidate(grant, from))
}

/** What waits for my approval. */
export async function approvals(from: Completing): Promise<Candidate[]> {
  const waiting = await ask(from, (client) => client.approvals())
  return (waiting?.requests ?? []).map(({ subject }) => {
    const { grant, principal, task, environment, context } = subject
    const what = `${principal.name}: ${task} in ${environment}`
    const why = context.reason || shellWords(context.command.argv)
    return { value: grant, about: `${what}, ${why}` }
  })
}

/** Broken glass that nobody has looked into. */
export async function unacknowledged(from: Completing): Promise<Candidate[]> {
  const waiting = await ask(from, (client) => client.approvals())
  return (waiting?.unacknowledged ?? []).map((grant) => ({
    value: grant.id,
    about: `${grant.principal.name}: ${grant.task} in ${grant.environment}, ${grant.context.reason}`,
  }))
}

/** Copilots of mine that are at work. */
export async function agents(from: Completing): Promise<Candidate[]> {
  const [sandboxes = [], known = []] = await Promise.all([
    ask(from, (client) => client.sandboxes('mine')),
    ask(from, (client) => client.grants('mine')),
  ])
  const holding = known.filter(
    ({ principal, state }) => principal.kind === 'agent' && OPEN.includes(state),
  )
  const found = new Map<string, string>()
  for (const { principal, task, environment } of holding) {
    found.set(principal.name, `${task} in ${environment}`)
  }
  for (const { principal, command } of sandboxes) {
    found.set(principal.name, `in a sandbox: ${shellWords(command.argv)}`)
  }
  return [...found].map(([value, about]) => ({ value, about }))
}

async function ask<T>(
  from: Completing,
  question: (client: BrokerClient) => Promise<T>,
): Promise<T | undefined> {
  const client = await restingClient(from)
  return client && soon(question(client), from.signal)
}

function candidate(grant: Grant, { clock }: Completing): Candidate {
  const { id, state, environment, task, expires_at, principal, context } = grant
  const left = Date.parse(expires_at ?? '') - clock.now()
  const how = state === 'active' && left > 0 ? `${formatDuration(left / 1000)} left` : state
  const whose = principal.kind === 'agent' ? `, ${principal.name}` : ''
  const what = shellWords(context.command.argv)
  return { value: id, about: `${task} in ${environment}, ${how}${whose}${what && `, ${what}`}` }
}

/** What commands on this machine run on. */
function markers({ paths, clock }: Completing): Candidate[] {
  const folder = join(paths.runtime, 'grants')
  try {
    return readdirSync(folder).flatMap((value) => {
      const line = parseMarkerLine(readFileSync(join(folder, value), 'utf8'))
      const left = (line?.expires ?? 0) - clock.now() / 1000
      if (!line || left <= 0) return []
      const { task, environment } = line
      return [{ value, about: `${task} in ${environment}, ${formatDuration(left)} left` }]
    })
  } catch {
    return []
  }
}

import type { Command } from 'commander'
import { parseLabels } from '../../labels.ts'
import { append } from '../../repeated-flag.ts'

/** A request that nobody makes: the flags of `jit policy explain`. */
export interface RequestFlags {
  readonly principal?: string
  readonly group?: readonly string[]
  readonly owner?: string
  readonly task?: string
  readonly env?: string
  readonly target?: readonly string[]
  readonly ttl?: string
  readonly reason?: string
  readonly ticket?: string
  readonly label?: readonly string[]
  readonly repository?: string
  readonly branch?: string
  readonly approval?: readonly string[]
  readonly age?: string
  readonly acr?: string
  readonly time?: string
  readonly breakGlass?: boolean
  readonly delivery?: string
}

export function requestFlags(command: Command): Command {
  return command
    .option('--principal <kind>', 'who asks: human, agent or pipeline; human:ID for one of them')
    .option('--group <group>', 'a group they are in; may be repeated', append)
    .option('--owner <id>', "an agent's person, whose groups --group gives")
    .option('--task <task>', 'what is asked for')
    .option('--env <environment>', 'and where')
    .option('--target <target>', 'only this target; may be repeated', append)
    .option('--ttl <duration>', 'for how long')
    .option('--reason <text>', 'why')
    .option('--ticket <id>', 'a ticket')
    .option('--label <name=value>', 'a label; may be repeated', append)
    .option('--repository <name>', 'where they stand; signed of a pipeline, else claimed')
    .option('--branch <name>', 'and on which branch')
    .option('--approval <group>', 'an approval, GROUP=2 for two; may be repeated', append)
    .option('--age <duration>', 'how long ago they signed in')
    .option('--acr <name>', 'and in which authentication context')
    .option('--time <time>', 'when it is asked: 2026-01-05T09:30:00Z')
    .option('--break-glass', 'as an emergency')
    .option('--delivery <how>', 'how credentials are to arrive: env or proxy')
}

/** Whether any of the flags is there. */
export function givesRequest(options: RequestFlags): boolean {
  const { principal, task, env, target } = options
  return [principal, task, env, target].some((flag) => flag !== undefined)
}

/** The flags as a case would have them. */
export function writtenBy(options: RequestFlags): Record<string, unknown> {
  const { principal = 'human', group = [], owner, repository, branch, age, acr } = options
  const [kind, ...id] = principal.split(':')
  const standing = defined({ repository, branch })
  const approvals = (options.approval ?? []).map((text) => {
    const [name, people = '1'] = text.split('=')
    return [name, Number(people)] as const
  })
  return {
    principal: defined({ kind, id: id.join(':') || undefined, groups: group, owner }),
    ...defined({ task: options.task, environment: options.env, targets: options.target }),
    context: {
      ...(kind === 'pipeline' ? standing : defined({ claimed: orNothing(standing) })),
      ...defined({ ttl: options.ttl, reason: options.reason, ticket: options.ticket }),
      ...defined({ time: options.time, break_glass: options.breakGlass }),
      ...defined({ delivery: options.delivery }),
      ...defined({ authentication: orNothing(defined({ age, acr })) }),
      labels: parseLabels(options.label ?? []),
      approvals: Object.fromEntries(approvals),
    },
  }
}

function defined(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
}

const orNothing = (values: Record<string, unknown>) =>
  Object.keys(values).length > 0 ? values : undefined

import type { SchemaJson, TypeOfAttribute } from '@cedar-policy/cedar-wasm/nodejs'
import {
  BUILT_IN_ACTIONS,
  type BuiltInAction,
  type LabelType,
  type Vocabulary,
} from './vocabulary.ts'

type Attributes = Record<string, TypeOfAttribute<string>>

const STRING = { type: 'String' } as const
const LONG = { type: 'Long' } as const
const BOOLEAN = { type: 'Boolean' } as const
const STRINGS = { type: 'Set', element: STRING } as const
const GROUPS = { type: 'Set', element: { type: 'Entity', name: 'Group' } } as const
const HUMANS = { type: 'Set', element: { type: 'Entity', name: 'Human' } } as const

const LABEL_TYPES = { string: STRING, bool: BOOLEAN, long: LONG } as const satisfies Record<
  LabelType,
  object
>

const record = (attributes: Attributes) => ({ type: 'Record' as const, attributes })

const PRINCIPALS = ['Human', 'Agent', 'Pipeline']

/** An agent is in no group itself: `principal.owner in Group::"…"` asks for its person's. */
const PRINCIPAL_TYPES = {
  Group: {},
  Human: { memberOfTypes: ['Group'] },
  Agent: { shape: record({ owner: { type: 'Entity', name: 'Human' } }) },
  Pipeline: { memberOfTypes: ['Group'] },
  Environment: { shape: record({ tier: STRING }) },
}

/** How and when the principal signed in; `age`: seconds since then. */
const AUTHENTICATION = record({ acr: STRING, amr: STRINGS, age: LONG })

/** UTC. `unix`: seconds since the epoch; `weekday`: 1 is Monday, 7 Sunday (ISO 8601). */
const TIME = record({ unix: LONG, hour: LONG, weekday: LONG })

/** What a request for a task is decided on. Labels are optional: policies ask with `has`. */
function taskContext(vocabulary: Vocabulary) {
  const labels: Attributes = {}
  for (const [name, type] of Object.entries(vocabulary.labels)) {
    labels[name] = { ...LABEL_TYPES[type], required: false }
  }
  return record({
    // What an issuer signed; "" where none did.
    repository: STRING,
    branch: STRING,
    commit: STRING,
    // What the client says.
    claimed: record({
      repository: STRING,
      branch: STRING,
      commit: STRING,
      dirty: BOOLEAN,
      // What the forge says of them: false as well where nobody could be asked.
      commitOnBranch: BOOLEAN,
      branchProtected: BOOLEAN,
    }),
    command: record({
      program: STRING,
      executable: STRING,
      directory: STRING,
      arguments: STRINGS,
    }),
    reason: STRING,
    breakGlass: BOOLEAN,
    ticket: STRING,
    labels: record(labels),
    // What the broker knows.
    ttl: LONG,
    time: TIME,
    authentication: AUTHENTICATION,
    approvals: GROUPS,
    approvalsByTwo: GROUPS,
    approvers: HUMANS,
    delivery: STRING,
  })
}

/** The strict schema of policies on tasks: one action a task, decided on a target. */
export function taskSchema(vocabulary: Vocabulary): SchemaJson<string> {
  const context = taskContext(vocabulary)
  const appliesTo = { principalTypes: PRINCIPALS, resourceTypes: ['Target'], context }
  return {
    '': {
      entityTypes: {
        ...PRINCIPAL_TYPES,
        Target: {
          memberOfTypes: ['Environment'],
          shape: record({ tier: STRING, sensitivity: STRING, type: STRING }),
        },
      },
      actions: Object.fromEntries(vocabulary.tasks.map((task) => [task, { appliesTo }])),
    },
  }
}

/** What each of the broker's own actions is done to. */
const RESOURCES: Readonly<Record<BuiltInAction, string[]>> = {
  view: ['Grant'],
  revoke: ['Grant'],
  approve: ['Grant'],
  offboard: PRINCIPALS,
  audit: ['Broker'],
  reach: ['Domain'],
}

/** What an action is decided on, beside when and how who asks signed in. */
const OWN_CONTEXT: Readonly<Partial<Record<BuiltInAction, Attributes>>> = {
  // How the approver showed who they are: with their session, or a sign-in newer than the request.
  approve: { method: STRING },
  // `profile`: "" where none was named; `program`: the last part of what the sandbox runs.
  reach: { profile: STRING, program: STRING },
}

/** The strict schema of policies on the broker itself: others' grants, the audit log, what sandboxes may reach. */
export function builtInSchema(): SchemaJson<string> {
  const common = { time: TIME, authentication: AUTHENTICATION }
  const on = (action: BuiltInAction) => ({
    appliesTo: {
      principalTypes: action === 'reach' ? ['Agent'] : PRINCIPALS,
      resourceTypes: RESOURCES[action],
      context: record({ ...common, ...OWN_CONTEXT[action] }),
    },
  })
  return {
    '': {
      entityTypes: {
        ...PRINCIPAL_TYPES,
        // `principal`, `kind` and `owner` ("" unless an agent's): whose grant it is.
        Grant: {
          memberOfTypes: ['Environment'],
          shape: record({
            principal: STRING,
            kind: STRING,
            owner: STRING,
            task: STRING,
            tier: STRING,
          }),
        },
        Broker: {},
        // In every domain that it lies below. `port`: 0 where any is meant.
        Domain: { memberOfTypes: ['Domain'], shape: record({ port: LONG }) },
      },
      actions: Object.fromEntries(BUILT_IN_ACTIONS.map((action) => [action, on(action)])),
    },
  }
}

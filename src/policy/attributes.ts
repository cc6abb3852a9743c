import type { PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'
import type { PreparedCall } from './prepared.ts'

type Node = Readonly<Record<string, unknown>>

/** The attributes that a policy reads, by their paths: `resource.tier`, `context.claimed.branch`. */
export function attributesOfPolicy({ principal, resource, conditions }: PolicyJson): Set<string> {
  const found = new Set<string>()
  collect(conditions, found)
  if (principal.op !== 'All')
    found.add(principal.op === '==' ? 'principal' : kindOrGroups(principal))
  if (resource.op !== 'All') found.add('resource')
  return found
}

const kindOrGroups = (scope: object) =>
  'in' in scope || (scope as { op: string }).op === 'in' ? 'principal.groups' : 'principal'

function collect(node: unknown, found: Set<string>): void {
  if (!isNode(node)) return
  const path = membershipOf(node) ?? pathOf(node)
  if (path !== undefined) found.add(path)
  else for (const child of Object.values(node)) collect(child, found)
}

/** `principal in Group::"…"` reads the groups, not the principal. */
function membershipOf(node: Node): string | undefined {
  const test = node.in
  if (!isNode(test)) return undefined
  const who = pathOf(test.left)
  return who === 'principal' || who === 'principal.owner' ? `${who}.groups` : undefined
}

function pathOf(node: unknown): string | undefined {
  if (!isNode(node)) return undefined
  if (typeof node.Var === 'string') return node.Var
  const access = node['.'] ?? node.has
  if (!isNode(access)) return undefined
  const base = pathOf(access.left)
  const attribute = Array.isArray(access.attr) ? access.attr.join('.') : access.attr
  return base === undefined ? undefined : `${base}.${attribute}`
}

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null

/** Looks attributes up in what Cedar is called with; what is absent is `null`. */
export function readAttributes(
  paths: Iterable<string>,
  call: PreparedCall,
): Record<string, unknown> {
  return Object.fromEntries([...paths].sort().map((path) => [path, plain(valueAt(path, call))]))
}

function valueAt(path: string, call: PreparedCall): unknown {
  const [variable = '', ...rest] = path.split('.')
  if (variable === 'context') return step(call.context, rest)
  if (variable === 'action') return { __entity: call.action }
  const uid = variable === 'principal' ? call.principal : call.resource
  return attribute({ __entity: uid }, rest, call)
}

/** Attributes of entities; `groups` are those that one is in. */
function attribute(
  value: unknown,
  [name, ...rest]: readonly string[],
  call: PreparedCall,
): unknown {
  if (name === undefined) return value
  const uid = isNode(value) ? value.__entity : undefined
  const entity = call.entities.find((one) => JSON.stringify(one.uid) === JSON.stringify(uid))
  if (name === 'groups') return entity?.parents.map((parent) => ({ __entity: parent }))
  return attribute(entity?.attrs[name], rest, call)
}

function step(value: unknown, [name, ...rest]: readonly string[]): unknown {
  if (name === undefined) return value
  return isNode(value) && Object.hasOwn(value, name) ? step(value[name], rest) : undefined
}

/** Entities by their ids, as people write them. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (!isNode(value)) return value ?? null
  if (isNode(value.__entity)) return value.__entity.id
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

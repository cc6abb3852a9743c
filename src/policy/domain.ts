import type { EntityJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs'

/** A domain as a sandbox asks for it: `api.example.com`, `*.example.com`, `api.example.com:8443`. */
interface AskedDomain {
  /** Without its port. */
  readonly name: string
  /** 0: any. */
  readonly port: number
}

/** A name, its wildcard, or one that others lie below (`com`). */
const NAME =
  /^(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/** Whether a policy may name it: `Example.com` would never match anything. */
export const isDomainName = (name: string) => name.length <= 253 && NAME.test(name)

function read(domain: string): AskedDomain {
  const [name = '', port] = domain.split(':')
  return { name, port: port === undefined ? 0 : Number(port) }
}

/**
 * A domain as policies see it: in every name that it lies below and in the wildcards of these,
 * `api.example.com` in `example.com` and `*.example.com`, `com` and `*.com`. A wildcard lies below the
 * name that it is of, and is not that name.
 */
export function domainEntities(domain: string): { uid: TypeAndId; entities: EntityJson[] } {
  const { name, port } = read(domain)
  const labels = name.split('.')
  const below = labels.slice(1).map((_, index) => labels.slice(index + 1).join('.'))
  const above = [...below, ...below.map((parent) => `*.${parent}`)]
    .filter((parent) => parent !== name)
    .map(uidOf)
  const uid = uidOf(name)
  return {
    uid,
    entities: [
      { uid, attrs: { port }, parents: above },
      ...above.map((parent) => ({ uid: parent, attrs: { port: 0 }, parents: [] })),
    ],
  }
}

const uidOf = (id: string) => ({ type: 'Domain', id })

/** Those of `names` that a wildcard would reach, with its port; of any other domain none. */
export function reachedBy(domain: string, names: Iterable<string>): string[] {
  const { name, port } = read(domain)
  if (!name.startsWith('*.')) return []
  const below = [...names].filter((other) => other !== name && other.endsWith(name.slice(1)))
  return below.map((other) => (port === 0 ? other : `${other}:${port}`))
}

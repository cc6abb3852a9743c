import { realpathSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { JitError } from '../lib/errors.ts'
import { type Place, profileFiles } from './profile.ts'

/** What all `.jit.yaml` from a folder up to the top of its repository take away. Paths are absolute. */
export interface Narrowed {
  readonly hidden: readonly string[]
  readonly readOnly: readonly string[]
  /** The domains of the person's profile that are left. */
  readonly domains: readonly string[]
}

/**
 * Takes away what a repository wants its sandboxes to go without. It is followed untrusted, because it
 * gives nothing; one with a mistake is an error, not a repository that takes nothing away.
 * @param domains of the person's profile
 * @throws JitError `profile_invalid`
 */
export async function narrow(domains: readonly string[], place: Place): Promise<Narrowed> {
  const narrowed = { hidden: [] as string[], readOnly: [] as string[], domains }
  for (const { path, sandbox } of await profileFiles(place)) {
    if (!sandbox) continue
    const folder = dirname(path)
    const within = place.root ?? folder
    const inside = (inner: string) => absolute(inner, { folder, within, path })
    narrowed.hidden.push(...(sandbox.hidden ?? []).map(inside))
    narrowed.readOnly.push(...(sandbox.readonly ?? []).map(inside))
    if (sandbox.domains) narrowed.domains = commonDomains(narrowed.domains, sandbox.domains)
  }
  return narrowed
}

/** Where it really is: a link may lead anywhere, and is the repository's business only inside it. */
function absolute(
  inner: string,
  { folder, within, path }: { folder: string; within: string; path: string },
): string {
  let real = resolve(folder, inner)
  try {
    real = realpathSync(real)
  } catch {
    // Not there yet.
  }
  if (`${real}/`.startsWith(`${within}/`)) return real
  throw new JitError('profile_invalid', `${path}: ${inner} leads out of the repository`)
}

/** What both lists let through, each pattern in all that it lies below. */
function commonDomains(mine: readonly string[], theirs: readonly string[]): string[] {
  const both = mine.flatMap((one) => theirs.map((other) => common(one, other)))
  return [...new Set(both.filter((domain) => domain !== undefined))]
}

function common(one: string, other: string): string | undefined {
  const [[oneHost, onePort], [otherHost, otherPort]] = [split(one), split(other)]
  const host = narrower(oneHost, otherHost)
  if (host === undefined) return undefined
  if (onePort !== undefined && otherPort !== undefined && onePort !== otherPort) return undefined
  const port = onePort ?? otherPort
  return port === undefined ? host : `${host}:${port}`
}

function split(domain: string): [string, string | undefined] {
  const [host = '', port] = domain.split(':')
  return [host, port]
}

/** The pattern that the other covers. */
function narrower(one: string, other: string): string | undefined {
  if (covers(other, one)) return one
  return covers(one, other) ? other : undefined
}

function covers(wide: string, narrow: string): boolean {
  if (wide === narrow) return true
  return wide.startsWith('*.') && narrow.replace(/^\*\./, '').endsWith(wide.slice(1))
}

import { randomInt } from 'node:crypto'
import { ulid } from 'ulid'

/** As random as the package's own, which asks the system for each character anew. */
const random = () => randomInt(2 ** 32) / 2 ** 32

/** A new sortable identifier: 26 lower-case characters of Crockford's base 32 (ULID). */
export function newId(now: number): string {
  return ulid(now, random).toLowerCase()
}

/**
 * The name of a lease at its target: `j`, the ledger's id (5), the lease's id (26). 32 of
 * `[a-z0-9]`, so that it fits every kind of target and a sweep can tell its own.
 */
export function leaseHandle(ledgerId: string, leaseId: string): string {
  return `j${ledgerId}${leaseId}`
}

/** The pattern of all handles of one ledger, for `LIKE` or a prefix search. */
export function handlePrefix(ledgerId: string): string {
  return `j${ledgerId}`
}

export const HANDLE_LENGTH = 32

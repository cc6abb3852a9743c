import { randomInt } from 'node:crypto'
import { decodeTime, ulid } from 'ulid'

/** As random as the package's own, which asks the system for each character anew. */
const random = () => randomInt(2 ** 32) / 2 ** 32

/** A new sortable identifier: 26 lower-case characters of Crockford's base 32 (ULID). */
export function newId(now: number): string {
  return ulid(now, random).toLowerCase()
}

/** Where the random part of an identifier begins, and how much of it names a broker's process. */
const TIME_LENGTH = 10
const MARK_LENGTH = 5

/** A mark of one process of a broker: 5 characters, so that two of one ledger have the same in 33 million. */
export function newMark(): string {
  return newId(0).slice(TIME_LENGTH, TIME_LENGTH + MARK_LENGTH)
}

/** As {@link newId}, with the mark of the process that makes it: 55 random bits are left. */
export function markedId(now: number, mark: string): string {
  const id = newId(now)
  return `${id.slice(0, TIME_LENGTH)}${mark}${id.slice(TIME_LENGTH + MARK_LENGTH)}`
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
const LEDGER_ID_LENGTH = 5

/**
 * What a handle says of its making: when, and by which process.
 * @returns nothing for what no broker made
 */
export function originOf(handle: string): { mintedAt: number; mark: string } | undefined {
  const id = handle.slice(handlePrefix('').length + LEDGER_ID_LENGTH)
  if (!/^[0-7][0-9a-hjkmnp-tv-z]{25}$/.test(id)) return undefined
  const mark = id.slice(TIME_LENGTH, TIME_LENGTH + MARK_LENGTH)
  return { mintedAt: decodeTime(id.toUpperCase()), mark }
}

import { describe, expect, test } from 'vitest'
import { LogVerifier, readLog } from '../../src/client/audit-log.ts'
import type { AuditEntry, AuditPage } from '../../src/protocol/audit.ts'
import { signedLogs } from './signed-logs.ts'

const { keys, log, headOf, sign } = await signedLogs()

async function verify(
  entries: readonly AuditEntry[],
  { head, seen }: { head?: AuditPage['head']; seen?: { seq: number; hash: string } } = {},
) {
  const verifier = new LogVerifier(seen)
  for (const entry of entries) verifier.add(entry)
  return verifier.finish(head ?? (await headOf(entries)), keys)
}

describe('checking an audit log', () => {
  test('finds a whole log whole', async () => {
    const entries = log(3)
    expect(await verify(entries, { seen: { seq: 2, hash: entries[1]?.hash ?? '' } })).toEqual({
      ok: true,
      entries: 3,
      head: { seq: 3, hash: entries[2]?.hash },
      problems: [],
    })
  })

  test('an empty log is whole', async () => {
    expect((await verify([])).ok).toBe(true)
  })

  test('finds an entry that was changed', async () => {
    const entries = log(3).map((entry) => (entry.seq === 2 ? { ...entry, event: 'x' } : entry))
    expect((await verify(entries)).problems).toEqual(['entry 2 was changed: its hash is another'])
  })

  test.each([
    ['half a character', '\ud800'],
    ['a number without an end', Number.POSITIVE_INFINITY],
  ])('finds an entry that says %s, which no broker can have hashed', async (_, detail) => {
    const entries = log(3).map((entry) => (entry.seq === 2 ? { ...entry, detail } : entry))
    expect((await verify(entries)).problems).toEqual(['entry 2 was changed: its hash is another'])
  })

  test('finds an entry that was taken out', async () => {
    const entries = log(3).filter(({ seq }) => seq !== 2)
    expect((await verify(entries)).problems).toEqual([
      'entry 3 follows entry 1',
      'entry 3 does not continue the one before it',
    ])
  })

  test('finds a log cut short, by what a receipt said', async () => {
    const entries = log(5)
    const seen = { seq: 5, hash: entries[4]?.hash ?? '' }
    const { ok, problems } = await verify(entries.slice(0, 3), { seen })
    expect(ok).toBe(false)
    expect(problems).toEqual(['a receipt named entry 5, the log ends before it: it was cut short'])
  })

  test('finds a log exchanged, by what a receipt said', async () => {
    const { problems } = await verify(log(3), { seen: { seq: 2, hash: 'f'.repeat(64) } })
    expect(problems).toEqual(['entry 2 is not the one that a receipt named: the log was exchanged'])
  })

  test('finds a head that is another, unsigned, or signed for something else', async () => {
    const entries = log(3)
    const head = await headOf(entries)
    const shorter = await headOf(log(2))
    expect((await verify(entries, { head: shorter })).ok).toBe(false)
    for (const signature of ['', shorter.signature, await sign(head, 'at+jwt')]) {
      const { problems } = await verify(entries, { head: { ...head, signature } })
      expect(problems).toEqual(["the head's signature is not the broker's"])
    }
  })

  test('names 20 problems at most', async () => {
    const broken = log(50).map((entry) => ({ ...entry, event: 'x' }))
    expect((await verify(broken)).problems).toHaveLength(20)
  })
})

test('a log is read page by page, and pages that do not advance are refused', async () => {
  const entries = log(4)
  const head = await headOf(entries)
  const pages = async (after = 0) => ({
    entries: entries.slice(after, after + 3),
    ...(after === 0 ? { next: 3 } : {}),
    head,
  })
  const seen: number[] = []
  for await (const { seq } of readLog(pages)) seen.push(seq)
  expect(seen).toEqual([1, 2, 3, 4])
  const circle = readLog(async () => ({ entries: [], next: 1, head }))
  await circle.next().then(undefined, (error) => expect(error.code).toBe('broker_failed'))
  expect.assertions(2)
})

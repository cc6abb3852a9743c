import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import { CompactSign, exportJWK, generateKeyPair } from 'jose'
import { expect, test } from 'vitest'
import { LogVerifier } from '../../src/client/audit-log.ts'
import { AuditPage } from '../../src/protocol/audit.ts'
import { parseJson } from '../../src/protocol/parse.ts'
import { mutatedJson } from './mutations.ts'
import { holds, unlessRefused } from './property.ts'

async function signedLog() {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA')
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'EdDSA' }] }
  const entries: { seq: number; hash: string }[] = []
  for (const event of ['session.opened', 'grant.active', 'grant.revoked']) {
    const prev = entries.at(-1)?.hash ?? '0'.repeat(64)
    const who = { kind: 'human', id: 'idp/1', name: 'dana' }
    const entry = { seq: entries.length + 1, at: '2026-11-22T12:00:00.000Z', event, principal: who }
    const whole = { ...entry, detail: { labels: { gpus: 4 }, reason: 'ä' }, prev }
    const hash = createHash('sha256')
      .update(String(canonicalize(whole)))
      .digest('hex')
    entries.push({ ...whole, hash })
  }
  const { seq, hash } = entries.at(-1) ?? { seq: 0, hash: '' }
  const signature = await new CompactSign(Buffer.from(JSON.stringify({ seq, hash })))
    .setProtectedHeader({ alg: 'EdDSA', kid: 'k1', typ: 'audit-head+jws' })
    .sign(privateKey)
  return { keys, page: { entries, head: { seq, hash, signature } } }
}

test('a page of the audit log that was changed is found out, or refused', async () => {
  const { keys, page } = await signedLog()
  const verify = async (text: string) => {
    const { entries, head } = parseJson(AuditPage, text, { what: 'audit', code: 'broker_failed' })
    const verifier = new LogVerifier(undefined)
    for (const entry of entries) verifier.add(entry)
    return { verified: await verifier.finish(head, keys), entries }
  }
  expect((await verify(JSON.stringify(page))).verified.ok).toBe(true)
  await holds(mutatedJson(page), async (text) => {
    const read = await unlessRefused(['broker_failed'], () => verify(text))
    // Whatever is found whole is what was signed.
    if (read?.verified.ok) expect(canonicalize(read.entries)).toBe(canonicalize(page.entries))
  })
})

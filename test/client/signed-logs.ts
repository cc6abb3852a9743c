import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import { CompactSign, exportJWK, generateKeyPair, type JSONWebKeySet } from 'jose'
import type { AuditEntry, AuditPage } from '../../src/protocol/audit.ts'

/** What makes audit logs as a broker does, with a key of its own. */
export async function signedLogs() {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA')
  const keys: JSONWebKeySet = {
    keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'EdDSA' }],
  }
  const sign = (position: object, typ = 'audit-head+jws') =>
    new CompactSign(Buffer.from(JSON.stringify(position)))
      .setProtectedHeader({ alg: 'EdDSA', kid: 'k1', typ })
      .sign(privateKey)
  const headOf = async (entries: readonly AuditEntry[]): Promise<AuditPage['head']> => {
    const { seq = 0, hash = '0'.repeat(64) } = entries.at(-1) ?? {}
    return { seq, hash, signature: await sign({ seq, hash }) }
  }
  return { keys, sign, headOf, log }
}

function log(length: number): AuditEntry[] {
  const entries: AuditEntry[] = []
  for (let seq = 1; seq <= length; seq++) {
    const prev = entries.at(-1)?.hash ?? '0'.repeat(64)
    const entry = {
      seq,
      at: '2026-11-22T12:00:00.000Z',
      event: 'grant.active',
      principal: null,
      prev,
    }
    const hash = createHash('sha256')
      .update(String(canonicalize(entry)))
      .digest('hex')
    entries.push({ ...entry, hash })
  }
  return entries
}

import { expect, test } from 'vitest'
import { grantNews } from '../../src/broker/grant-news.ts'
import type { AuditEntry } from '../../src/protocol/audit.ts'

const entry = (event: string, detail: object) =>
  ({ seq: 1, at: '', event, principal: null, prev: '', hash: '', ...detail }) as AuditEntry

test('that a grant is over is understood, whatever another node says of the why', () => {
  const reason = { code: 'target_refused', message: 'shop: no' }
  expect(grantNews(entry('grant.ended', { ended_by: 'lifeline', reason }))).toEqual({
    kind: 'ended',
    by: 'lifeline',
    reason: undefined,
  })
  const newer = { reason: { code: 'of_a_newer_version', message: 'no' } }
  expect(grantNews(entry('grant.refused', newer))).toMatchObject({
    kind: 'refused',
    error: { code: 'grant_ended', message: 'no' },
  })
})

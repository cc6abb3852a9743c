import {
  type ApprovalRequest,
  type ApprovalRequests,
  ApproveBody,
  DenyBody,
} from '../../protocol/approval.ts'
import type { Grant } from '../../protocol/grant.ts'
import { parse } from '../../protocol/parse.ts'
import { GrantRequest } from '../../protocol/request.ts'
import type { App, AppParts } from '../app.ts'
import { Approvals } from '../approvals.ts'
import { grantView } from '../ledger/rows.ts'

/** Asking ahead, and the people who say yes or no. */
export function approvalRoutes(app: App, parts: AppParts): void {
  const { grants } = parts
  const approvals = new Approvals(parts)

  app.post('/v1/grants', async (c) => {
    const input = await c.req.json().catch(() => undefined)
    const asked = parse(GrantRequest, input, { what: 'request' })
    const body: Grant = grantView(await grants.askAhead(c.get('session').sid, asked))
    return c.json(body, 201)
  })

  app.get('/v1/approvals', async (c) => {
    const session = c.get('session')
    const body: ApprovalRequests = {
      requests: await approvals.waitingFor(session),
      unacknowledged: await approvals.unacknowledged(session),
    }
    return c.json(body)
  })

  app.get('/v1/approvals/:id', async (c) => {
    const body: ApprovalRequest = await approvals.show(c.get('session'), c.req.param('id'))
    return c.json(body)
  })

  app.post('/v1/grants/:id/approve', async (c) => {
    const input = await c.req.json().catch(() => undefined)
    const { hash } = parse(ApproveBody, input, { what: 'approval' })
    return c.json(await approvals.approve(c.get('session'), c.req.param('id'), hash))
  })

  app.post('/v1/grants/:id/deny', async (c) => {
    const input = await c.req.json().catch(() => undefined)
    const { reason } = parse(DenyBody, input, { what: 'denial' })
    return c.json(await approvals.deny(c.get('session'), c.req.param('id'), reason))
  })

  app.post('/v1/grants/:id/acknowledge', async (c) => {
    const body: Grant = await approvals.acknowledge(c.get('session'), c.req.param('id'))
    return c.json(body)
  })
}

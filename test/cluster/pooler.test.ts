import { expect, inject, test } from 'vitest'
import { absent } from '../absent.ts'
import { startPgBouncer } from '../servers/pgbouncer.ts'
import { Cluster } from './cluster.ts'

test.skipIf(absent('pgbouncer'))(
  'brokers over a pooler by transaction tell each other what they do',
  async () => {
    await using pooler = await startPgBouncer(inject('storeServer') ?? '')
    await using cluster = await Cluster.start(3, { pooler: pooler.port })
    const client = await cluster.node(0).client()
    const held = []
    for (const at of [0, 1, 2]) {
      cluster.goTo(at)
      held.push(await client.grant())
    }
    for (const { granted } of held) {
      await client.call('POST', `/v1/grants/${granted.grant}/revoke`)
    }
    const told = await Promise.all(held.map(({ line }) => line.next('revoked')))
    expect(told.map(({ ended_by }) => ended_by)).toEqual(['revoked', 'revoked', 'revoked'])
    expect(cluster.shop.handles.size).toBe(0)
  },
)

import { expect, inject, test } from 'vitest'
import { LIFELINE_CLOSE } from '../../src/protocol/lifeline.ts'
import { querySql } from '../broker/harness-store.ts'
import { Wire } from '../faults/wire.ts'
import { Cluster } from './cluster.ts'

/** Nodes that said a moment ago that they live: none of them sends its clients elsewhere any more. */
const living = (directory: string) =>
  querySql(directory, 'SELECT id FROM nodes WHERE alive_until > extract(epoch FROM now()) * 1000')

test('a database that is gone: nothing is minted, clients are sent elsewhere, and all goes on when it is back', async () => {
  await using wire = await Wire.start()
  wire.to([Number(new URL(inject('storeServer') ?? '').port)])
  const lifeline = 'grace: 10s, suspend_grace: 20s'
  await using cluster = await Cluster.start(2, { pooler: wire.port, lifeline })
  const client = await cluster.node(0).client()
  const { line, granted } = await client.grant()
  wire.reset()
  await expect(client.connect()).rejects.toThrow('503')
  expect(await line.closed).toBe(LIFELINE_CLOSE.restarting)
  expect(cluster.shop.handles.size).toBe(1)
  wire.restore()
  cluster.goTo(1)
  await expect.poll(() => living(cluster.node(0).directory)).toHaveLength(2)
  const again = await client.connect()
  const secret = granted.resume_secret
  again.send({ type: 'resume', grant: granted.grant, secret, received: true })
  await again.next('resumed')
  const next = await client.grant()
  expect(cluster.shop.handles.size).toBe(2)
  for (const [on, grant] of [
    [again, granted.grant],
    [next.line, next.granted.grant],
  ] as const) {
    on.send({ type: 'release', grant, outcome: { code: 0, signal: null } })
    expect((await on.next('released')).receipt.leases).toMatchObject([{ outcome: 'revoked' }])
  }
  expect(cluster.shop.handles.size).toBe(0)
})

test('a connection that was lost before the database was gone has a whole grace once that is back', async () => {
  await using wire = await Wire.start()
  wire.to([Number(new URL(inject('storeServer') ?? '').port)])
  await using cluster = await Cluster.start(1, { pooler: wire.port, lifeline: 'grace: 8s' })
  const node = cluster.node(0)
  const client = await node.client()
  const { line, granted } = await client.grant()
  line.cut()
  const unheld = () => querySql(node.directory, 'SELECT id FROM grants WHERE held_by IS NULL')
  await expect.poll(unheld).toHaveLength(1)
  wire.reset()
  const isAside = () => node.log.some((entry) => entry.includes('the store is out of reach'))
  await expect.poll(isAside).toBe(true)
  // Its grace runs out meanwhile.
  await new Promise((resolve) => setTimeout(resolve, 5000))
  wire.restore()
  await expect.poll(() => living(node.directory)).toHaveLength(1)
  // Whatever is ended as the node looks again.
  await new Promise((resolve) => setTimeout(resolve, 2000))
  const again = await client.connect()
  const secret = granted.resume_secret
  again.send({ type: 'resume', grant: granted.grant, secret, received: true })
  await again.next('resumed')
  expect(cluster.shop.handles.size).toBe(1)
})

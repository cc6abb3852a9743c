import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { WebSocketServer } from 'ws'
import { openSandboxLine } from '../../src/client/sandbox-line.ts'
import { systemClock } from '../../src/lib/clock.ts'

test('no broker has a sandbox reach more than the person’s profile names', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(server, 'listening')
  const command = { argv: ['claude'], directory: '/src', executable: '/usr/bin/claude' }
  server.on('connection', (socket) => {
    socket.on('message', () => {
      const sandbox = {
        id: 'b_1',
        principal: { kind: 'agent', id: 'a', name: 'claude', groups: [] },
        profile: '',
        command,
        started_at: new Date().toISOString(),
        expires_at: new Date(Date.now() + 60_000).toISOString(),
        domains: ['api.example.com', 'evil.example.com'],
        refused: [],
        grants: [],
      }
      socket.send(JSON.stringify({ type: 'opened', sandbox }))
    })
  })
  const leave = new AbortController()
  const line = await openSandboxLine({
    broker: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    authorizer: { headers: async () => ({}) },
    clock: systemClock,
    open: { profile: '', command, domains: ['api.example.com', '*.npmjs.org'] },
    signal: leave.signal,
  })
  expect(line.sandbox.domains).toEqual(['api.example.com'])
  leave.abort()
  for (const socket of server.clients) socket.terminate()
  server.close()
})

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Gate } from './gate.ts'
import { secondsUntil } from './seconds.ts'
import { counted } from './tally.ts'

/** All strings that a broker holds, those that nothing refers to any more left out. */
async function stringsOf({ node }: Gate, folder: string): Promise<readonly string[]> {
  const files = () => readdirSync(folder).filter((name) => name.endsWith('.heapsnapshot'))
  const known = new Set(files())
  node.process.kill('SIGUSR2')
  const read = (): { strings: readonly string[] } | undefined => {
    const file = files().find((name) => !known.has(name))
    try {
      return file === undefined ? undefined : JSON.parse(readFileSync(join(folder, file), 'utf8'))
    } catch {
      // It is still being written.
      return undefined
    }
  }
  const written = async () => read() !== undefined
  await secondsUntil(written, { within: 60, what: 'a snapshot of the heap' })
  return read()?.strings ?? []
}

test('what was delivered is nowhere in the memory of the broker, while it lives and afterwards', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'jit-heap-'))
  try {
    const flags = `--heapsnapshot-signal=SIGUSR2 --diagnostic-dir=${folder}`
    await using gate = await Gate.open({ env: { NODE_OPTIONS: flags } })
    const client = await gate.client('one')
    const holds = (strings: readonly string[], secret: string) =>
      strings.filter((text) => text.includes(secret)).length
    const { line, granted } = await client.grant({ targets: ['shop'] })
    const [credential] = granted.credentials
    const secret = (credential?.secrets?.[0] ?? '').split('.').at(-1) ?? ''
    expect(secret.length).toBeGreaterThan(40)
    // An answer to it: nothing of the delivery is under way any more.
    await client.call('GET', '/v1/whoami')
    const alive = await stringsOf(gate, folder)
    line.cut()
    const dead = await stringsOf(gate, folder)
    const figures = {
      ...{ strings: alive.length, 'with the credential': holds(alive, secret) },
      'with the resume secret': holds(alive, granted.resume_secret),
      afterwards: holds(dead, secret),
    }
    counted({ fault: 'memory of the broker, with a live grant', figures })
    // What it does hold is found this way.
    expect(holds(alive, gate.url)).toBeGreaterThan(0)
    expect(holds(alive, granted.grant)).toBeGreaterThan(0)
    expect(figures).toMatchObject({
      ...{ 'with the credential': 0, 'with the resume secret': 0, afterwards: 0 },
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}, 120_000)

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Grant } from '../../src/protocol/grant.ts'
import { FakeBroker, problem, type Reply } from '../run/fake-broker.ts'
import { Home, JIT } from '../run/home.ts'
import { grantContext } from '../run/requests.ts'
import { Screen } from '../run/screen.ts'

let broker: FakeBroker
let home: Home
let grants: Grant[]

beforeEach(async () => {
  grants = [grant('g_1')]
  broker = await FakeBroker.start()
  broker.behaviour.http = listed
  home = new Home()
  home.env.NO_COLOR = '1'
  await home.signIn(broker.url)
})
afterEach(async () => {
  home[Symbol.dispose]()
  await broker.stop()
})

const listed = ({ route }: { route: string }): Reply | undefined =>
  route.startsWith('GET /v1/grants') ? { body: { grants } } : undefined

function grant(id: string, changes: Partial<Grant> = {}): Grant {
  return {
    id,
    state: 'active',
    principal: { kind: 'human', id: 'idp/1', name: 'dev', groups: [] },
    environment: 'prod',
    tier: 'production',
    task: 'deploy',
    context: grantContext(),
    requested_at: new Date().toISOString(),
    expires_at: new Date(Date.now() + 900_000).toISOString(),
    targets: ['shop-db'],
    leases: [],
    ...changes,
  }
}

const ESC = '\u001b'
const ENTER = `${ESC}[?1049h`
const LEAVE = `${ESC}[?7h${ESC}[?25h${ESC}[?1049l`
/** A pattern with ␛ for the escape character. */
const seen = (pattern: string) => new RegExp(pattern.replaceAll('␛', `${ESC}\\[`))
const WATCH = `${process.execPath} ${JIT} grants --watch`

/** On a terminal of a shell, which says afterwards how it ended, and whether the terminal is as it was. */
function watching(): Screen {
  const script = `sh -c 'echo pid=$$; exec ${WATCH}'; echo rc=$?; stty -a | tr ' ' '\\n' | grep -x -e icanon -e echo; echo end`
  return new Screen(home, ['sh', '-c', script])
}

async function endsWith(screen: Screen, code: number): Promise<void> {
  await screen.shows('end\r\n')
  const after = screen.text.slice(screen.text.lastIndexOf(ENTER))
  expect(after.split(LEAVE)).toHaveLength(2)
  expect(after.split(LEAVE)[1]?.trim().split(/\s+/)).toEqual([
    `rc=${code}`,
    'icanon',
    'echo',
    'end',
  ])
  await screen.ended
}

describe('jit grants --watch on a terminal', () => {
  test('shows what becomes of grants, at each size, and ends with q', async () => {
    const screen = watching()
    await screen.shows(/g_1 +active +dev +prod +deploy +shop-db +1[45]m/)
    // The time goes on by itself, and of its line alone something is written.
    await screen.shows(seen(String.raw`␛\?2026h␛4;1Hg_1 [\w ,-]+14m 5\ds␛K␛\?2026l`))
    grants = [...grants, grant('g_2', { state: 'revoking' })]
    await screen.shows(seen('␛5;1Hg_2 +revoking'))
    screen.resize(40, 20)
    await screen.shows(seen(String.raw`g_2[\s\S]*␛2J[\s\S]*g_1[\s\S]* {2}state +active[\s\S]*g_2`))
    screen.type('q')
    await endsWith(screen, 0)
  })

  test('goes on over a restart of the broker, and says so meanwhile', async () => {
    const screen = watching()
    await screen.shows('g_1')
    const { port } = broker
    await broker.stop()
    await screen.shows(/! since \d\d:\d\d, trying again: can't reach the broker at/)
    broker = await FakeBroker.start(port)
    broker.behaviour.http = listed
    grants = [grant('g_3')]
    await screen.shows(seen(String.raw`␛2;1H␛K[\s\S]*g_3 +active`))
    screen.type('\x03')
    await endsWith(screen, 130)
  })

  test('gives the terminal back when it is told to end', async () => {
    const screen = watching()
    await screen.shows('g_1')
    process.kill(Number(/pid=(\d+)/.exec(screen.text)?.[1]), 'SIGTERM')
    await endsWith(screen, 130)
  })

  test('gives the terminal back before it says why it can not go on', async () => {
    const screen = watching()
    await screen.shows('g_1')
    const over = problem('session_ended', 401, 'the session is over')
    broker.behaviour.http = () => ({ status: 401, body: over })
    await screen.shows('end\r\n')
    expect(screen.text.split(LEAVE)[1]).toContain('jit: error: the session is over')
  })

  test('Ctrl-Z gives the shell its screen, and fg brings the view back', async () => {
    const shell = new Screen(home, ['bash', '--norc', '--noprofile', '-i'])
    shell.type(`${WATCH}\r`)
    await shell.shows(/g_1 +active/)
    shell.type('\x1a')
    await shell.shows(seen(String.raw`␛\?1049l[\s\S]*Stopped`))
    shell.type('fg\r')
    await shell.shows(seen(String.raw`Stopped[\s\S]*␛\?1049h[\s\S]*g_1 +active`))
    shell.type('q')
    await shell.shows(seen(String.raw`Stopped[\s\S]*␛\?1049l`))
    shell.type('exit\r')
    await shell.ended
  })
})

test('elsewhere than on a terminal there is one line of JSON, or a block, at each change', async () => {
  const json = home.start(['grants', '--watch', '--json'])
  const text = home.start(['grants', '--watch'])
  const lines = linesOf(json)
  const blocks = linesOf(text)
  expect(JSON.parse(await lines.next())).toEqual({
    at: expect.stringMatching(/Z$/),
    grants,
    sandboxes: [],
  })
  expect(await blocks.next()).toMatch(/Z$/)
  expect(await blocks.next()).toMatch(/^GRANT/)
  expect(await blocks.next()).toMatch(/^g_1 +active/)
  expect(await blocks.next()).toBe('')
  await broker.waitForCall('GET /v1/grants?scope=mine', 4)
  grants = []
  expect(JSON.parse(await lines.next())).toMatchObject({ grants: [] })
  expect(await blocks.next()).toMatch(/Z$/)
  expect(await blocks.next()).toBe('no live grants, and no request that waits')
  for (const child of [json, text]) child.kill('SIGINT')
})

/** What a program prints, line by line. */
function linesOf({ stdout }: { stdout: NodeJS.ReadableStream | null }) {
  let rest = ''
  const lines: string[] = []
  const waiting = new Set<() => void>()
  stdout?.on('data', (chunk) => {
    const parts = (rest + String(chunk)).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
    for (const wake of waiting) wake()
  })
  return {
    async next(): Promise<string> {
      while (lines.length === 0) await new Promise<void>((resolve) => waiting.add(resolve))
      return lines.shift() ?? ''
    },
  }
}

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LIFELINE_CLOSE } from '../../src/protocol/lifeline.ts'
import { FakeBroker, type FakeLine, type Reply } from './fake-broker.ts'
import { ended, Home, JIT } from './home.ts'
import { approvalBy } from './requests.ts'
import { Screen } from './screen.ts'

const ASK = ['exec', '--env', 'prod', '--task', 'deploy']
const ONE = { approvals: [{ group: 'platform-oncall', people: 1 as const }] }
let broker: FakeBroker
let home: Home

beforeEach(async () => {
  broker = await FakeBroker.start()
  broker.behaviour.obligation = ONE
  broker.behaviour.http = ({ route }): Reply | undefined =>
    route.endsWith('/revoke') ? { body: { grant: broker.grant, state: 'refused' } } : undefined
  home = new Home()
  await home.signIn(broker.url)
})
afterEach(async () => {
  home[Symbol.dispose]()
  await broker.stop()
})

const withdrawal = () => `POST /v1/grants/${broker.grant}/revoke`

/** Starts and resolves once `jit` has said on stderr that it waits. */
async function waiting(args: readonly string[]) {
  const child = home.start(args)
  const end = ended(child)
  await new Promise<void>((resolve) => {
    let text = ''
    child.stderr?.on('data', (chunk) => {
      text += String(chunk)
      if (text.includes('waiting for')) resolve()
    })
  })
  return { child, end }
}

describe('jit exec on a request that waits for approval', () => {
  test('says so in a line, and runs the command once somebody approves', async () => {
    const { end } = await waiting([...ASK, '--', 'sh', '-c', 'exit 5'])
    broker.approve(approvalBy('dana'), approvalBy('lea\u202ed'))
    const { code, stderr } = await end
    expect(code).toBe(5)
    expect(stderr).toMatch(
      new RegExp(
        `⧗ waiting for platform-oncall +jit approve ${broker.grant} · lapses \\d\\d:\\d\\d\\n` +
          '✓ approved by dana, lea\\\\u\\{202e\\}d +after \\d+s\\n✓ granted ',
      ),
    )
  })

  test.runIf(process.platform === 'linux')('behind & it draws nothing', async () => {
    const exec = [process.execPath, JIT, ...ASK, '--', 'true'].join(' ')
    const screen = new Screen(home, ['bash', '-c', `set -m; ${exec} & wait`])
    await screen.shows('waiting for')
    broker.approve(approvalBy('dana'))
    await screen.shows('granted')
    await screen.ended
    expect(screen.text).not.toContain('\u001b[K')
  })

  test('an approver who says no is 125, with what was said', async () => {
    const { end } = await waiting([...ASK, '--', 'true'])
    broker.fail('approval_denied', 403, 'denied by dana: not today')
    const { code, stderr } = await end
    expect(code).toBe(125)
    expect(stderr).toContain('jit: error: denied by dana: not today\n')
    expect(broker.calls).toEqual([])
  })

  test('one that lapses is 125', async () => {
    const { end } = await waiting([...ASK, '--', 'true'])
    broker.fail('request_lapsed', 409, 'nobody approved it in time')
    expect(await end).toMatchObject({ code: 125 })
  })

  test('one that another command took over is left to that', async () => {
    const { promise, resolve } = Promise.withResolvers<FakeLine>()
    broker.behaviour.answer = (_, line) => {
      resolve(line)
      return false
    }
    const { end } = await waiting([...ASK, '--', 'true'])
    const { socket } = await promise
    socket.close(LIFELINE_CLOSE.replaced)
    const { code, stderr } = await end
    expect({ code, stderr }).toMatchObject({ code: 125, stderr: expect.stringContaining('took') })
    expect(broker.calls).toEqual([])
    expect(broker.received).toHaveLength(1)
  })

  test('Ctrl-C takes it back, and is 130', async () => {
    const { child, end } = await waiting([...ASK, '--', 'true'])
    child.kill('SIGINT')
    const { code, stderr } = await end
    expect(code).toBe(130)
    expect(stderr).toContain(`✓ withdrew ${broker.grant}\njit: error: cancelled\n`)
    expect(broker.calls.map(({ route }) => route)).toEqual([withdrawal()])
  })

  test('Ctrl-C at a broker that does not answer is 130 soon, and says what will happen', async () => {
    broker.behaviour.http = () => new Promise<Reply>(() => {})
    const { child, end } = await waiting([...ASK, '--', 'true'])
    child.kill('SIGINT')
    const { code, stderr } = await end
    expect(code).toBe(130)
    expect(stderr).toContain(`jit: warning: the broker withdraws ${broker.grant} by itself`)
  })

  test('--wait ends the wait and takes the request back', async () => {
    const child = home.start([...ASK, '--wait', '1s', '--', 'true'])
    const { code, stderr } = await ended(child)
    expect(code).toBe(125)
    expect(stderr).toContain('jit: error: not approved within 1s\n')
    await broker.waitForCall(withdrawal())
  })

  test('a lost connection is opened again with the same request, twice, and told', async () => {
    const { end } = await waiting([...ASK, '--', 'sh', '-c', 'exit 4'])
    broker.cut()
    await broker.waitFor('request', 2)
    broker.restart()
    await broker.waitFor('request', 3)
    await expect.poll(() => broker.upgrades.length).toBe(3)
    broker.approve()
    const { code, stderr } = await end
    expect(code).toBe(4)
    expect(stderr.match(/asks for/g)).toHaveLength(1)
    expect(stderr.match(/waiting for/g)).toHaveLength(1)
    const [broke, restarts] = stderr.match(/jit: warning: .*/g) ?? []
    expect(broke).toContain('the connection broke off; connecting again')
    expect(restarts).toContain(`the broker at ${broker.url} restarts; connecting again`)
    const keys = broker.received.flatMap((sent) => (sent.type === 'request' ? [sent.key] : []))
    expect(new Set(keys).size).toBe(1)
  })

  test('a broker that restarts is waited for', async () => {
    const { end } = await waiting([...ASK, '--', 'sh', '-c', 'exit 4'])
    const { port } = broker
    await broker.stop()
    broker = await FakeBroker.start(port)
    expect(await end).toMatchObject({ code: 4 })
  })

  test('--quiet waits without a word', async () => {
    const child = home.start([...ASK, '--quiet', '--', 'true'])
    void broker.waitFor('request').then(() => broker.approve())
    expect(await ended(child)).toEqual({ code: 0, signal: null, stdout: '', stderr: '' })
  })
})

describe('jit exec --no-wait', () => {
  test('leaves the request, says how to go on, and is 6', async () => {
    const { code, stdout, stderr } = await home.run([...ASK, '--no-wait', '--', 'echo', 'a b'])
    expect({ code, stdout }).toEqual({ code: 6, stdout: '' })
    expect(stderr).toContain(
      `jit: error: ${broker.grant} waits for platform-oncall\n` +
        `jit: hint: once it is approved: jit exec --grant ${broker.grant} -- echo 'a b'\n`,
    )
    expect((await broker.waitFor('detach')).grant).toBe(broker.grant)
    expect(broker.calls).toEqual([])
  })

  test('--json gives the id in the error', async () => {
    const { code, stderr } = await home.run([...ASK, '--no-wait', '--json', '--', 'true'])
    expect(code).toBe(6)
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'approval_pending', grant: broker.grant },
    })
  })

  test('a connection lost before the broker heard of it is opened again', async () => {
    let lost = 0
    broker.behaviour.answer = (message, line) => {
      if (message.type !== 'detach' || lost++ > 0) return false
      line.socket.terminate()
      return true
    }
    expect(await home.run([...ASK, '--no-wait', '--', 'true'])).toMatchObject({ code: 6 })
    await broker.waitFor('detach', 2)
  })

  test('what needs no approval runs', async () => {
    delete broker.behaviour.obligation
    expect(await home.run([...ASK, '--no-wait', '--', 'true'])).toMatchObject({ code: 0 })
  })
})

describe('jit exec --grant', () => {
  const redeem = (...flags: string[]) =>
    home.run(['exec', '--grant', broker.grant, ...flags, '--', 'sh', '-c', 'exit 3'])

  test('uses a request that was made before, for the command as it runs now', async () => {
    delete broker.behaviour.obligation
    expect(await redeem()).toMatchObject({ code: 3 })
    expect(await broker.waitFor('redeem')).toMatchObject({
      grant: broker.grant,
      claimed: { repository: '', dirty: false },
      command: { argv: ['sh', '-c', 'exit 3'], directory: home.directory },
    })
  })

  test('waits while it is not approved yet; Ctrl-C leaves the request as it is', async () => {
    const { child, end } = await waiting(['exec', '--grant', broker.grant, '--', 'true'])
    child.kill('SIGINT')
    expect(await end).toMatchObject({ code: 130 })
    expect(broker.calls).toEqual([])
  })

  test.each([
    ['--env', 'prod'],
    ['--task', 'deploy'],
    ['--target', 'shop-db'],
    ['--ttl', '5m'],
    ['--reason', 'why'],
    ['--ticket', 'T-1'],
    ['--label', 'model=small'],
    ['--deliver', 'proxy'],
  ])('%s beside it is wrong usage', async (flag, value) => {
    const { code, stderr } = await redeem(flag, value)
    expect(code).toBe(125)
    expect(stderr).toContain(`${flag} can't be given beside --grant`)
    expect(broker.received).toEqual([])
  })

  test('a profile and --break-glass beside it are wrong usage', async () => {
    expect((await redeem('deploy')).stderr).toContain("a profile can't be given beside --grant")
    expect((await redeem('--break-glass')).stderr).toContain("--break-glass can't be given")
  })
})

describe('a sign-in that policy wants', () => {
  const SIGN_IN = { sign_in: { max_age: 300, acr_values: [] }, approvals: [] }

  test('where nobody signed in is an error, and the request is taken back', async () => {
    broker.behaviour.obligation = SIGN_IN
    const { code, stderr } = await home.run([...ASK, '--json', '--', 'true'])
    expect(code).toBe(125)
    expect(JSON.parse(stderr).error).toMatchObject({ code: 'insufficient_user_authentication' })
    await broker.waitForCall(withdrawal())
  })
})

test('--break-glass is asked for with a reason, and is wrong usage without one', async () => {
  const without = await home.run([...ASK, '--break-glass', '--', 'true'])
  expect(without).toMatchObject({ code: 125 })
  expect(without.stderr).toContain('--break-glass needs --reason')
  delete broker.behaviour.obligation
  await home.run([...ASK, '--break-glass', '--reason', 'the shop is down', '--', 'true'])
  const { details } = await broker.waitFor('request')
  expect(details).toMatchObject({ break_glass: true, reason: 'the shop is down' })
})

describe('on a terminal', () => {
  const WRAPPED = [process.execPath, JIT, ...ASK, '--', 'sh', '-c', 'echo child; exit 3']
  const ERASE = '\r\u001b[K'

  /** What a terminal has on it in the end: each line as it was left. */
  const left = (text: string) =>
    text
      .split('\r\n')
      .map((line) => line.split(ERASE).at(-1))
      .join('\n')

  test('one line is redrawn, and nothing of it is left', async () => {
    const screen = new Screen(home, WRAPPED)
    await screen.shows(/waiting for platform-oncall … 1s/)
    expect(screen.text.split(ERASE).length).toBeGreaterThan(2)
    broker.approve()
    expect((await screen.ended).exitCode).toBe(3)
    expect(left(screen.text)).not.toContain('waiting')
    expect(left(screen.text)).toMatch(/✓\S* approved by dana.*\n.*✓\S* granted/s)
  })

  test('Ctrl-C leaves nothing of it either', async () => {
    const screen = new Screen(home, WRAPPED)
    await screen.shows('waiting for platform-oncall')
    screen.type('\x03')
    expect((await screen.ended).exitCode).toBe(130)
    expect(left(screen.text)).not.toContain('waiting')
    expect(screen.text).toContain('withdrew')
  })

  test('a line is never longer than the terminal is wide', async () => {
    broker.behaviour.obligation = {
      approvals: Array.from({ length: 9 }, (_, n) => ({ group: `group-number-${n}`, people: 2 })),
    }
    const screen = new Screen(home, WRAPPED)
    await screen.shows('waiting for')
    broker.approve()
    await screen.ended
    for (const drawn of screen.text.split(/\r\n|\r/)) {
      if (drawn.includes('waiting for'))
        expect(drawn.replace('\u001b[K', '').length).toBeLessThan(80)
    }
  })

  test('with NO_COLOR it has no colour, with CI it is not redrawn', async () => {
    home.env.NO_COLOR = '1'
    const plain = new Screen(home, WRAPPED)
    await plain.shows('waiting for')
    broker.approve()
    await plain.ended
    expect(plain.text.replaceAll(ERASE, '')).not.toContain('\u001b[')
    broker.behaviour.obligation = ONE
    home.env.CI = 'true'
    const automated = new Screen(home, WRAPPED)
    await automated.shows('waiting for')
    broker.approve()
    await automated.ended
    expect(automated.text).not.toContain(ERASE)
  })
})

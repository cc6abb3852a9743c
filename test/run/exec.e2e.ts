import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LIFELINE_CLOSE } from '../../src/protocol/lifeline.ts'
import { credential, FakeBroker, problem } from './fake-broker.ts'
import { ended, Home, JIT } from './home.ts'

const ASK = ['exec', '--env', 'dev', '--task', 'deploy']
let broker: FakeBroker
let home: Home

beforeEach(async () => {
  broker = await FakeBroker.start()
  home = new Home()
  await home.signIn(broker.url)
})
afterEach(async () => {
  home[Symbol.dispose]()
  await broker.stop()
})

/** Whether a process runs: one that is dead but not yet waited for does not. */
function runs(pid: string): boolean {
  if (!existsSync(`/proc/${pid}`)) return false
  return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
}

const exec = (...command: string[]) => home.run([...ASK, '--', ...command])

describe('the child is untouched', () => {
  test.each([0, 1, 2, 3, 42, 125, 126, 127, 128, 130, 255])(
    'exit code %i comes out',
    async (code) => {
      const { code: seen, signal } = await exec('sh', '-c', `exit ${code}`)
      expect({ seen, signal }).toEqual({ seen: code, signal: null })
    },
  )

  test.each(['INT', 'TERM', 'HUP', 'KILL', 'QUIT', 'USR1', 'USR2', 'ABRT', 'SEGV', 'PIPE', 'ALRM'])(
    'jit dies of the SIG%s that ended the child',
    async (name) => {
      const { code, signal } = await exec('sh', '-c', `ulimit -c 0; kill -${name} $$`)
      expect({ code, signal }).toEqual({ code: null, signal: `SIG${name}` })
      const { outcome } = await broker.waitFor('release')
      expect(outcome).toEqual({ code: null, signal: `SIG${name}` })
    },
  )

  test('what is piped in comes out, byte for byte', async () => {
    const child = home.start([...ASK, '--quiet', '--', 'cat'])
    child.stdin?.end('ä\0b\n'.repeat(50_000))
    const { stdout, stderr } = await ended(child)
    expect(stdout).toBe('ä\0b\n'.repeat(50_000))
    expect(stderr).toBe('')
  })

  test.runIf(existsSync('/proc/self/coredump_filter'))(
    'its core dumps are its own matter; in those of jit is nothing of its memory',
    async () => {
      // The command may run before jit has come back from starting it.
      const settled =
        'f=$(cat /proc/$PPID/coredump_filter); [ "$f" = 00000000 ] && break; sleep 0.01'
      const script = `cat /proc/self/coredump_filter; for i in $(seq 500); do ${settled}; done; echo "$f"`
      const { stdout } = await exec('sh', '-c', script)
      const usual = readFileSync('/proc/self/coredump_filter', 'utf8')
      expect(stdout).toBe(`${usual}00000000\n`)
      expect(usual).not.toBe('00000000\n')
    },
  )

  test('arguments reach it as they are, -- among them', async () => {
    const { stdout } = await exec('printf', '[%s]', '--', '-x', '', 'a b', '$HOME', '--json')
    expect(stdout).toBe('[--][-x][][a b][$HOME][--json]')
  })

  test.each(['TERM', 'HUP', 'USR1', 'USR2'] as const)('SIG%s is passed on', async (name) => {
    const script = `trap 'echo got; exit 9' ${name}; echo ready; while :; do sleep 0.05; done`
    const child = home.start([...ASK, '--quiet', '--', 'sh', '-c', script])
    child.stdout?.once('data', () => child.kill(`SIG${name}`))
    expect(await ended(child)).toMatchObject({ stdout: 'ready\ngot\n', stderr: '', code: 9 })
  })
})

describe('before a child exists', () => {
  test('a command that is not there is 127, and nothing is asked', async () => {
    const { code, stderr } = await exec('no-such-command-here')
    expect(code).toBe(127)
    expect(stderr).toContain('jit: error: no-such-command-here: command not found')
    expect(broker.upgrades).toEqual([])
  })

  test('a file that is not executable is 126', async () => {
    writeFileSync(join(home.directory, 'notes'), 'text', { mode: 0o600 })
    expect((await exec('./notes')).code).toBe(126)
    expect((await exec('/')).code).toBe(126)
  })

  test('a script whose interpreter is missing is 127, and the grant is given back', async () => {
    writeFileSync(join(home.directory, 'script'), '#!/no/such/interpreter\n', { mode: 0o755 })
    expect((await exec('./script')).code).toBe(127)
    expect((await broker.waitFor('release')).outcome).toEqual({ code: null, signal: null })
  })

  test.each([
    ['no --env', ['exec', '--task', 'deploy', '--', 'true'], '--env is missing'],
    ['no --task', ['exec', '--env', 'dev', '--', 'true'], '--task is missing'],
    ['no command', ['exec', '--env', 'dev', '--task', 'deploy'], 'no command to run'],
    ['an empty command', ['exec', '--env', 'dev', '--task', 'deploy', '--'], 'no command to run'],
    ['an unknown flag', [...ASK, '--nope', '--', 'true'], "unknown option '--nope'"],
    ['a bad name', ['exec', '--env', 'Dev!', '--task', 'x', '--', 'true'], 'expected a name'],
    ['a bad duration', [...ASK, '--ttl', '5 minutes', '--', 'true'], 'is not a duration'],
    ['a bad label', [...ASK, '--label', 'model', '--', 'true'], 'has no value'],
    ['no profile file', ['exec', 'deploy', '--', 'true'], 'there is no .jit.yaml here'],
    ['a receipt nowhere', [...ASK, '--receipt', 'a/b/c', '--', 'true'], "can't be written"],
  ])('%s is 125 with one clear error', async (_, args, message) => {
    const { code, stderr, stdout } = await home.run(args)
    expect(code).toBe(125)
    expect(stderr).toContain(message)
    expect(stderr.split('\n').filter((line) => line.startsWith('jit: error:'))).toHaveLength(1)
    expect(stdout).toBe('')
    expect(broker.received).toEqual([])
  })

  test('a denial is 125, with the code and the policies that said so', async () => {
    broker.behaviour.answer = (message, line) => {
      if (message.type !== 'request') return false
      const denied = problem('denied', 403, 'forbidden by policy prod-no')
      line.send({ type: 'problem', problem: denied })
      line.socket.close(4000)
      return true
    }
    const { code, stderr } = await home.run([...ASK, '--json', '--', 'true'])
    expect(code).toBe(125)
    expect(JSON.parse(stderr)).toEqual({
      error: { code: 'denied', message: 'forbidden by policy prod-no' },
    })
  })

  test('an ended session is said by the broker at the door', async () => {
    broker.behaviour.refuse = problem('session_ended', 401, 'the session has ended')
    const { code, stderr } = await exec('true')
    expect(code).toBe(125)
    expect(stderr).toBe('jit: error: the session has ended\njit: hint: jit login\n')
  })

  test('a broker that is not there is said at once', async () => {
    await broker.stop()
    const { code, stderr } = await exec('true')
    expect(code).toBe(125)
    expect(stderr).toContain("can't reach the broker")
    broker = await FakeBroker.start()
  })

  test('Ctrl-C while waiting is 130', async () => {
    broker.behaviour.answer = () => true
    const child = home.start([...ASK, '--', 'true'])
    void broker.waitFor('request').then(() => child.kill('SIGINT'))
    expect(await ended(child)).toMatchObject({ code: 130, stderr: 'jit: error: cancelled\n' })
  })

  test('less time than --min-ttl starts nothing and gives the grant back', async () => {
    broker.behaviour.ttl = 60
    const { code, stderr, stdout } = await home.run([
      ...ASK,
      '--min-ttl',
      '5m',
      '--',
      'echo',
      'started',
    ])
    expect({ code, stdout }).toEqual({ code: 125, stdout: '' })
    expect(stderr).toContain('less than the 5m asked for with --min-ttl')
    await broker.waitFor('release')
  })

  test.each(['PATH', 'LD_PRELOAD', 'NODE_OPTIONS', 'JIT_BROKER'])(
    'a credential that would change %s is refused',
    async (name) => {
      broker.behaviour.credentials = [credential({ [name]: '/evil' })]
      const { code, stdout, stderr } = await exec('echo', 'started')
      expect({ code, stdout }).toEqual({ code: 125, stdout: '' })
      expect(stderr).toContain(`would change ${name}`)
      await broker.waitFor('release')
    },
  )
})

describe('what the child is given', () => {
  test('its variables, without those that would compete', async () => {
    broker.behaviour.credentials = [credential({ PGUSER: 'j1' }, ['PGSERVICE', 'PGUSER'])]
    const { stdout } = await home.run([...ASK, '--', 'sh', '-c', 'env; echo "$0"'], {
      PGSERVICE: 'other',
      PGUSER: 'me',
      KEPT: '1',
    })
    const lines = stdout.split('\n')
    expect(lines).toContain('PGUSER=j1')
    expect(lines).toContain('KEPT=1')
    expect(lines).toContain(`JIT_GRANT=${broker.grant}`)
    expect(stdout).toMatch(/^JIT_GRANT_EXPIRES_AT=\d{4}-\d\d-\d\dT.*Z$/m)
    expect(stdout).not.toContain('PGSERVICE')
  })

  test('one line in the runtime directory while it lives, and none after', async () => {
    const folder = join(home.directory, 'run', 'jit', 'grants')
    const { stdout } = await exec('sh', '-c', `cat '${folder}/'*; stat -c %a '${folder}/'*`)
    expect(stdout).toMatch(/^\d{10} dev test deploy \d+ (\d+|-) -\n600\n$/)
    expect(readdirSync(folder)).toEqual([])
  })

  test('a jit within a jit has a grant of its own, and says within which it is', async () => {
    const inner = [process.execPath, JIT, ...ASK, '--', 'sh', '-c', 'echo $JIT_GRANT; exit 4']
    const { code, stdout, stderr } = await exec(...inner)
    expect({ code, stdout }).toEqual({ code: 4, stdout: `${broker.grant}\n` })
    expect(stderr).toContain(`asks for shop-db · 15m · within ${broker.grant}`)
    expect(broker.received.filter(({ type }) => type === 'release')).toHaveLength(2)
  })
})

describe('the end', () => {
  test('the receipt is printed and written', async () => {
    const file = join(home.directory, 'receipt.json')
    const { stderr } = await home.run([...ASK, '--receipt', 'receipt.json', '--', 'true'])
    expect(stderr).toMatch(
      /✓ granted g_\w+ until \d\d:\d\d +shop-db: hard\n {2}shop-db can't be renewed: this ends at \d\d:\d\d\n✓ revoked shop-db in \d+ ms\n$/,
    )
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
      grant: broker.grant,
      state: 'revoked',
      ended_by: 'exit',
      leases: [{ target: 'shop-db', outcome: 'revoked' }],
    })
  })

  test('--quiet says nothing', async () => {
    expect(await home.run([...ASK, '--quiet', '--', 'true'])).toEqual({
      code: 0,
      signal: null,
      stdout: '',
      stderr: '',
    })
  })

  test('a locale without UTF-8 gets plain symbols', async () => {
    const { stderr } = await home.run([...ASK, '--', 'true'], { LC_ALL: 'C' })
    expect(stderr).toMatch(/^[\x20-\x7e\n]+$/)
  })

  test('a broker that is gone at exit: the exit code stands, and what will happen is said', async () => {
    const child = home.start([...ASK, '--', 'sh', '-c', 'echo ready; read line; exit 7'])
    child.stdout?.once('data', () => {
      broker.restart()
      void broker.stop().then(() => child.stdin?.end('\n'))
    })
    const { code, stderr } = await ended(child)
    expect(code).toBe(7)
    expect(stderr).toContain(`no receipt for ${broker.grant}: the broker at `)
    expect(stderr).toMatch(/ restarts\n/)
    expect(stderr).toContain('the broker ends it 10s after it lost the connection')
    broker = await FakeBroker.start()
  })

  test('a broker that never answers the release is waited for 5 s at most', async () => {
    broker.behaviour.answer = (message) => message.type === 'release'
    const child = home.start([...ASK, '--', 'true'])
    const end = ended(child)
    await broker.waitFor('release')
    const released = performance.now()
    expect((await end).code).toBe(0)
    const waited = performance.now() - released
    // Not at once, and with room for a busy machine.
    expect(waited).toBeGreaterThan(4000)
    expect(waited).toBeLessThan(15_000)
  })

  test('it is given back when nobody reads what jit says any more', async () => {
    const child = home.start([...ASK, '--', 'sh', '-c', 'read line; exit 7'])
    await broker.waitFor('received')
    child.stderr?.destroy()
    child.stdout?.destroy()
    child.stdin?.end('\n')
    expect((await ended(child)).code).toBe(7)
    expect((await broker.waitFor('release')).outcome.code).toBe(7)
  })

  test('at the deadline jit stops the child itself', async () => {
    broker.behaviour.ttl = 1
    const { signal, stderr } = await exec('sleep', '60')
    expect(signal).toBe('SIGTERM')
    expect(stderr).toContain("the grant's time is over: stopping the command")
  })

  test('it is told the same when the broker saw it first', async () => {
    const child = home.start([...ASK, '--', 'sleep', '60'])
    const done = ended(child)
    await broker.waitFor('received')
    broker.revoke('ttl', 'its time is over')
    const { signal, stderr } = await done
    expect(signal).toBe('SIGTERM')
    expect(stderr).toContain("the grant's time is over: stopping the command")
    expect(stderr).not.toContain('the broker ended')
  })
})

describe('a lost lifeline', () => {
  test('is resumed with the newest secret, twice, and the child notices nothing', async () => {
    const child = home.start([...ASK, '--quiet', '--', 'sh', '-c', 'read line; exit 5'])
    await broker.waitFor('received')
    broker.cut()
    expect(await broker.waitFor('resume')).toMatchObject({ secret: 's1', received: true })
    broker.cut()
    expect(await broker.waitFor('resume', 2)).toMatchObject({ secret: 's2' })
    child.stdin?.end('\n')
    expect(await ended(child)).toMatchObject({ code: 5, stderr: '' })
    expect((await broker.waitFor('release')).outcome.code).toBe(5)
  })

  test('is resumed with the same secret again when the answer to it was lost', async () => {
    let lost = 0
    broker.behaviour.answer = (message, line) => {
      if (message.type !== 'resume' || lost++ > 0) return false
      line.socket.terminate()
      return true
    }
    const child = home.start([...ASK, '--quiet', '--', 'sh', '-c', 'read line; exit 5'])
    await broker.waitFor('received')
    broker.cut()
    expect(await broker.waitFor('resume', 1)).toMatchObject({ secret: 's1' })
    expect(await broker.waitFor('resume', 2)).toMatchObject({ secret: 's1', received: true })
    broker.cut()
    expect(await broker.waitFor('resume', 3)).toMatchObject({ secret: 's2' })
    child.stdin?.end('\n')
    expect(await ended(child)).toMatchObject({ code: 5, stderr: '' })
    expect((await broker.waitFor('release')).outcome.code).toBe(5)
  })

  test('each connection has a proof of its own', async () => {
    const child = home.start([...ASK, '--quiet', '--', 'cat'])
    await broker.waitFor('received')
    broker.cut()
    await broker.waitFor('resume')
    child.stdin?.end()
    await ended(child)
    const proofs = broker.upgrades.map(({ headers }) => headers.dpop)
    expect(new Set(proofs).size).toBe(2)
    for (const { headers } of broker.upgrades) {
      expect(headers.authorization).toBe('DPoP token-of-the-test')
      const payload = String(headers.dpop).split('.')[1] ?? ''
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
      expect(claims).toMatchObject({ htm: 'GET', htu: `${broker.url}/v1/lifeline` })
    }
  })

  test('before the answer is opened again, with the same key', async () => {
    let asked = 0
    broker.behaviour.answer = (message, line) => {
      if (message.type !== 'request' || asked++ > 0) return false
      line.socket.terminate()
      return true
    }
    expect((await exec('true')).code).toBe(0)
    const keys = broker.received.flatMap((message) =>
      message.type === 'request' ? [message.key] : [],
    )
    expect(keys).toHaveLength(2)
    expect(new Set(keys).size).toBe(1)
  })

  test('the broker will not have back ends the child', async () => {
    broker.behaviour.answer = (message, line) => {
      if (message.type !== 'resume') return false
      line.send({ type: 'problem', problem: problem('grant_ended', 409, 'the grant is over') })
      line.socket.close(4000)
      return true
    }
    const child = home.start([...ASK, '--', 'sleep', '60'])
    await broker.waitFor('received')
    broker.cut()
    const { signal, stderr } = await ended(child)
    expect(signal).toBe('SIGTERM')
    expect(stderr).toContain('the grant is over (the grant is over): stopping the command')
  })

  test('before the receipt is opened again, and the receipt is there', async () => {
    let lost = 0
    broker.behaviour.answer = (message, line) => {
      if (message.type === 'release') {
        lost += 1
        line.socket.terminate()
      } else if (message.type === 'resume' && lost > 0) {
        line.send({ type: 'released', grant: broker.grant, receipt: broker.receipt() })
        line.socket.close(LIFELINE_CLOSE.done)
      } else return false
      return true
    }
    const { code, stderr } = await exec('sh', '-c', 'exit 3')
    expect({ code, lost }).toEqual({ code: 3, lost: 1 })
    expect(stderr).toMatch(/^✓ revoked /m)
    expect(stderr).not.toContain('no receipt')
  })

  test('between the end that the broker made and its receipt: the receipt is there', async () => {
    broker.behaviour.answer = (message, line) => {
      if (message.type === 'received') {
        line.send({ type: 'revoked', grant: broker.grant, ended_by: 'policy', reason: '' })
        line.socket.terminate()
      } else if (message.type === 'resume') {
        line.send({ type: 'revoked', grant: broker.grant, ended_by: 'policy', reason: '' })
        line.send({ type: 'released', grant: broker.grant, receipt: broker.receipt() })
        line.socket.close(LIFELINE_CLOSE.done)
      } else return false
      return true
    }
    const { signal, stderr } = await exec('sleep', '60')
    expect(signal).toBe('SIGTERM')
    expect(stderr).toMatch(/^✓ revoked /m)
    expect(stderr).not.toContain('no receipt')
  })

  test.each([
    ['text', 'hello'],
    ['another type', '{"type":"gift"}'],
    ['half a message', '{"type":"granted","grant":"g"}'],
    ['too much', JSON.stringify({ type: 'x'.repeat(300 * 1024) })],
  ])('nonsense (%s) instead of an answer is one error', async (_, nonsense) => {
    broker.behaviour.answer = (_message, line) => {
      line.socket.send(nonsense)
      return true
    }
    const { code, stderr } = await exec('true')
    expect(code).toBe(125)
    expect(stderr.match(/jit: error:/g)).toHaveLength(1)
  })

  test('nonsense while the child runs costs the connection, not the child', async () => {
    broker.behaviour.answer = (message, line) => {
      if (message.type === 'received') line.socket.send('nonsense')
      return false
    }
    const child = home.start([...ASK, '--quiet', '--', 'sh', '-c', 'read line; exit 5'])
    await broker.waitFor('resume')
    child.stdin?.end('\n')
    expect((await ended(child)).code).toBe(5)
  })
})

describe('revoked by the broker', () => {
  test('a child that ignores TERM and a grandchild in a session of its own are ended', async () => {
    const pids = join(home.directory, 'pids')
    const daemon = `setsid sh -c 'trap "" TERM HUP; echo $$ >> ${pids}; while :; do sleep 1; done' &`
    const script = `trap '' TERM; (${daemon}) ; echo $$ >> ${pids}; while :; do sleep 1; done`
    const child = home.start([...ASK, '--', 'sh', '-c', script])
    const done = ended(child)
    await broker.waitFor('received')
    await expect
      .poll(() => existsSync(pids) && readFileSync(pids, 'utf8').split('\n').length)
      .toBe(3)
    broker.revoke('revoked', 'by lead')
    const { signal, stderr } = await done
    expect(signal).toBe('SIGKILL')
    expect(stderr).toContain('the broker ended the grant (by lead): stopping the command')
    expect(stderr).toContain('✓ revoked shop-db')
    for (const pid of readFileSync(pids, 'utf8').trim().split('\n')) {
      expect(runs(pid)).toBe(false)
    }
  })

  test('the rest of the pipeline lives on', async () => {
    const jit = `'${process.execPath}' '${join(import.meta.dirname, '../../bin/jit.js')}' ${ASK.join(' ')}`
    const script = `${jit} -- sh -c 'echo one; exec sleep 60' 2>/dev/null | { cat; echo rest; }; echo after`
    const { spawn } = await import('node:child_process')
    const shell = spawn('sh', ['-c', script], { cwd: home.directory, env: home.env })
    const done = ended(shell)
    await broker.waitFor('received')
    broker.revoke('policy')
    expect(await done).toMatchObject({ code: 0, stdout: expect.stringMatching(/rest\nafter\n$/) })
  })
})

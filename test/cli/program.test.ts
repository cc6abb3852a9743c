import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { EXIT, exitCodeOf } from '../../src/cli/exit-codes.ts'
import { runProgram } from '../../src/cli/program.ts'
import { JitError } from '../../src/lib/errors.ts'
import { AtWork } from './at-work.ts'

/** A broker that isn't there. */
const NOBODY = 'http://127.0.0.1:9'
let person: AtWork

beforeEach(async () => {
  person = await AtWork.at(undefined)
})
afterEach(() => person[Symbol.dispose]())

/** Why a command line comes to nothing; on stdout it says nothing. */
async function refusalOf(args: readonly string[]): Promise<JitError> {
  const thrown = await runProgram(args, person.deps, async () => {}).catch((thrown) => thrown)
  expect(thrown).toBeInstanceOf(JitError)
  expect(person.out).toEqual([])
  return thrown
}

describe('a command line', () => {
  test.each([
    [['grnats'], "unknown command 'grnats'", 'did you mean grants?'],
    [['grants', '--jsn'], "unknown option '--jsn'", 'did you mean --json?'],
    [['request', '--enviroment', 'dev'], "unknown option '--enviroment'", 'did you mean --env?'],
    [['request', '--tsk=plan'], "unknown option '--tsk=plan'", 'did you mean --task?'],
    [['appro'], "unknown command 'appro'", 'did you mean approve?'],
    [['help', 'grnats'], "unknown command 'grnats'", 'did you mean grants?'],
    [['policy', 'chek'], "unknown command 'chek'", 'did you mean check?'],
    [['show'], "missing required argument 'id'", "see 'jit show --help'"],
    [['nothing-like-it'], "unknown command 'nothing-like-it'", "see 'jit --help'"],
    [['grants', '--mine', '--all'], '--mine and --all exclude each other', undefined],
    [
      ['revoke'],
      'name the grants, or give one of --mine, --all, --user and --agent',
      "'jit grants' lists them",
    ],
    [
      ['revoke', 'g_1', '--all'],
      'name the grants, or give one of --mine, --all, --user and --agent',
      undefined,
    ],
  ])('%j is a usage error that says what was expected', async (args, message, hint) => {
    const error = await refusalOf(args)
    expect(error.code).toBe('usage')
    expect(error.message).toContain(message)
    if (hint) expect(error.hint).toContain(hint)
  })

  test.each([
    [['exec', 'terraform', 'apply'], "too many arguments for 'exec'"],
    [['exec', 'ls', '-la'], "unknown option '-la'"],
    [['sandbox', 'claude'], "too many arguments for 'sandbox'"],
  ])('%j is told where a command stands', async (args, message) => {
    const error = await refusalOf(args)
    expect(error.message).toContain(message)
    expect(error.hint).toContain("stands after '--'")
  })

  test.each([
    ['--env', 'a b', '--env: expected a name'],
    ['--target', 'A', '--target: expected a name'],
    ['--label', 'A B=c', '--label A B: expected a name'],
    ['--reason', 'a'.repeat(2001), '--reason: expected at most 2000 characters'],
    ['--ttl', '5', "'5' is not a duration"],
  ])('%s %j is refused by the name of the flag, before anything is asked', async (...words) => {
    const [flag, value, message] = words
    await person.home.signIn(NOBODY)
    const ask = ['exec', '--env', 'dev', '--task', 'deploy', flag, value, '--', 'true']
    expect((await refusalOf(ask)).message).toContain(message)
  })

  test('an address that can’t be one is blamed on where it stands', async () => {
    person.home.env.JIT_BROKER = 'http://jit.example'
    const error = await refusalOf(['status'])
    expect(error.code).toBe('usage')
    expect(error.message).toContain("JIT_BROKER: 'http://jit.example' is not the address")
  })

  test('a profile that isn’t trusted is named, with the way on', async () => {
    await person.home.signIn(NOBODY)
    const profiles = 'version: 1\nprofiles:\n  look: { environment: dev, task: plan }\n'
    person.write('.jit.yaml', profiles)
    const { message, hint } = await refusalOf(['exec', 'look', '--', 'true'])
    expect(message).toMatch(/^profile 'look' can't be used: .*\.jit\.yaml is not trusted/)
    expect(hint).toContain("'jit trust'")
  })

  test.each([
    ['HTML', 200, 'text/html', '<html>hello</html>'],
    ['a page that is not found', 404, 'text/html', '<html>no</html>'],
    ['nothing', 204, 'text/plain', ''],
    ['JSON of another kind', 200, 'application/json', '[]'],
  ])('a server that answers %s is one error, in words', async (_, status, type, body) => {
    const server = createServer((_request, response) =>
      response.writeHead(status, { 'content-type': type }).end(body),
    )
    await using listening = server.listen(0, '127.0.0.1')
    await once(listening, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    await person.home.signIn(url)
    for (const command of [['status'], ['login', url]]) {
      const { code, message, hint = '' } = await refusalOf(command)
      expect(exitCodeOf(code, { wraps: false })).toBe(EXIT.error)
      expect(message + hint).not.toMatch(/Unexpected token|undefined|<html>/)
      if (type === 'text/html' && command[0] === 'login') {
        expect(message).toContain('does not answer as a broker')
      }
    }
  })
})

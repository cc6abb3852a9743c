import { expect, test } from 'vitest'
import { sandboxEnvironment } from '../../src/sandbox/environment.ts'

const of = (
  parent: Record<string, string>,
  { keep = [] as string[], tool = '/usr/bin/bash' } = {},
) =>
  sandboxEnvironment({
    parent,
    keep,
    tool,
    link: 'http://127.0.0.1:7421',
    proxy: 'http://jit:x@127.0.0.1:3128',
  })

test('what the allow list names is passed on, and where the link, the proxy and the private folders are', () => {
  const { variables, leftOut } = of({
    PATH: '/bin',
    LC_TIME: 'C',
    TERM: 'xterm',
    TMPDIR: '/x',
    XDG_RUNTIME_DIR: '/y',
  })
  expect(variables).toMatchObject({
    PATH: '/bin',
    LC_TIME: 'C',
    TERM: 'xterm',
    TMPDIR: '/tmp',
    XDG_RUNTIME_DIR: '/run',
    JIT_SANDBOX: 'http://127.0.0.1:7421',
    HTTPS_PROXY: 'http://jit:x@127.0.0.1:3128',
    https_proxy: 'http://jit:x@127.0.0.1:3128',
    NO_PROXY: 'localhost,127.0.0.1,::1',
  })
  expect(leftOut).toEqual([])
})

test('what it does not name is left out and told by name; a shell’s own is not told', () => {
  const { variables, leftOut } = of({
    NPM_TOKEN: 'x',
    AWS_PROFILE: 'p',
    SHLVL: '1',
    _: 'x',
    HTTP_PROXY: 'http://me:pw@corp',
  })
  expect(leftOut).toEqual(['AWS_PROFILE', 'NPM_TOKEN'])
  expect(Object.values(variables).join()).not.toContain('corp')
})

test('a profile keeps more, but no way to the session, the keyring, an agent, or what programs load', () => {
  const never = [
    'JIT_BROKER',
    'SSH_AUTH_SOCK',
    'DBUS_SESSION_BUS_ADDRESS',
    'GPG_AGENT_INFO',
    'XDG_RUNTIME_DIR',
    'DOCKER_HOST',
    'LD_PRELOAD',
    'BASH_ENV',
    'NODE_OPTIONS',
  ]
  const parent = Object.fromEntries([...never, 'MY_SETTING'].map((name) => [name, 'x']))
  const { variables } = of(parent, { keep: [...never, 'MY_SETTING'] })
  expect(variables.MY_SETTING).toBe('x')
  expect(never.filter((name) => variables[name] === 'x')).toEqual([])
})

test('a known copilot gets its own settings, and another one does not', () => {
  const parent = { ANTHROPIC_MODEL: 'm', ANTHROPIC_API_KEY: 'k' }
  expect(of(parent, { tool: '/opt/bin/claude' })).toMatchObject({
    variables: { ANTHROPIC_MODEL: 'm' },
    leftOut: ['ANTHROPIC_API_KEY'],
  })
  expect(of(parent, { tool: '/opt/bin/codex' }).variables).not.toHaveProperty('ANTHROPIC_MODEL')
})

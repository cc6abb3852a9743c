import { expect, test } from 'vitest'
import { isSettableVariable } from '../../src/lib/variables.ts'

test.each([
  'PATH',
  'Path',
  'LD_PRELOAD',
  'DYLD_INSERT_LIBRARIES',
  'NODE_OPTIONS',
  'BASH_ENV',
  'IFS',
])('%s decides what a program runs: not settable', (name) =>
  expect(isSettableVariable(name)).toBe(false),
)

test.each([
  'PYTHONPATH',
  'PERL5OPT',
  'GIT_SSH_COMMAND',
  'JIT_GRANT',
  'npm_config_prefix',
  'RUBYOPT',
])('%s neither', (name) => expect(isSettableVariable(name)).toBe(false))

test.each([
  'PGHOST',
  'PG_CONN_STR',
  'AWS_ACCESS_KEY_ID',
  'KUBECONFIG',
  'DEV_API_TOKEN',
  'SSH_AUTH_SOCK',
])('%s carries a credential: settable', (name) => expect(isSettableVariable(name)).toBe(true))

import { expect, test } from 'vitest'
import { isTrigger } from '../../src/broker/trigger.ts'
import type { Principal } from '../../src/protocol/principal.ts'

const person = (more: Partial<Principal>): Principal => ({
  kind: 'human',
  id: 'idp.acme.dev/u1',
  name: 'Dana Scully',
  groups: [],
  ...more,
})

test.each<[string, Partial<Principal>, boolean]>([
  ['their account, in other case', { account: 'Dana-GH' }, true],
  ['another account, though the name is the same', { account: 'scully', name: 'dana-gh' }, false],
  ['no account where the provider should name one', { account: '' }, true],
  ['a name that is the account', { name: 'dana-gh' }, true],
  ['an address that starts with the account', { name: 'Dana-GH@acme.dev' }, true],
  ['a subject that is the account', { id: 'idp.acme.dev/dana-gh' }, true],
  ['nothing that is alike', { name: 'fox@acme.dev' }, false],
])('who may have set a run off by %s', (_, more, expected) => {
  expect(isTrigger(person(more), 'dana-gh')).toBe(expected)
})

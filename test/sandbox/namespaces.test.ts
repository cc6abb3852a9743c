import { expect, test } from 'vitest'
import { withOwnNamespaces } from '../../src/sandbox/namespaces.ts'

const LINE = '/usr/bin/bwrap --new-session --ro-bind / / --proc /proc -- /bin/bash -c'

test('the runtime’s line gets namespaces, the filter, and settings of the kernel that stay', () => {
  expect(withOwnNamespaces(`${LINE} true`)).toBe(
    '/usr/bin/bwrap --unshare-ipc --unshare-uts --unshare-cgroup-try --seccomp 4 --new-session ' +
      '--ro-bind / / --proc /proc --ro-bind /proc/sys /proc/sys -- /bin/bash -c true',
  )
})

test('a command that says the same words stays as it is', () => {
  const command = "'echo --new-session x --proc /proc -- y'"
  expect(withOwnNamespaces(`${LINE} ${command}`).endsWith(command)).toBe(true)
})

test('a line of another form starts nothing', () => {
  expect(() => withOwnNamespaces('/usr/bin/bwrap --ro-bind / / -- true')).toThrow('unknown form')
})

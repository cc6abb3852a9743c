import { JitError } from '../lib/errors.ts'

/** The descriptor at which bubblewrap finds the filter of system calls. */
export const FILTER_FD = 4

/** The options that every line of the runtime starts its sandbox with, and the last before the command. */
const FIRST = ' --new-session '
const LAST = ' --proc /proc -- '

/**
 * What bubblewrap is told beside what the runtime tells it: namespaces of its own for System V shared
 * memory, control groups and the machine's name; the filter; and settings of the kernel that can't be
 * changed, which they could where the person is root.
 * @throws JitError `internal` where the runtime's line has another form than we know
 */
export function withOwnNamespaces(line: string): string {
  const first = line.indexOf(FIRST)
  const last = line.indexOf(LAST, first)
  if (first < 0 || last < 0) {
    throw new JitError('internal', "the sandbox runtime's command line has an unknown form")
  }
  const options = `--unshare-ipc --unshare-uts --unshare-cgroup-try --seccomp ${FILTER_FD}`
  return [
    line.slice(0, first),
    ` ${options}`,
    line.slice(first, last),
    ' --proc /proc --ro-bind /proc/sys /proc/sys -- ',
    line.slice(last + LAST.length),
  ].join('')
}

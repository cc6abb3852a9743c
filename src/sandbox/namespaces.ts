import { JitError } from '../lib/errors.ts'

/** The descriptor at which bubblewrap finds the filter of system calls. */
const FILTER_FD = 4

/** The first of the runtime's options, and the one that mounts `/proc`, before the command. */
const FIRST = ' --new-session '
const PROC = ' --proc /proc '

/**
 * What bubblewrap is told beside what the runtime tells it: namespaces of its own for System V shared
 * memory, control groups and the machine's name; the filter; and settings of the kernel that can't be
 * changed, which they could where the person is root.
 * @throws JitError `internal` where the runtime's line has another form than we know
 */
export function withOwnNamespaces(line: string): string {
  const first = line.indexOf(FIRST)
  const proc = line.indexOf(PROC, first)
  if (first < 0 || proc < 0) {
    throw new JitError('internal', "the sandbox runtime's command line has an unknown form")
  }
  return [
    line.slice(0, first),
    ` --unshare-ipc --unshare-uts --unshare-cgroup-try --seccomp ${FILTER_FD}`,
    line.slice(first, proc + PROC.length),
    '--ro-bind /proc/sys /proc/sys ',
    line.slice(proc + PROC.length),
  ].join('')
}

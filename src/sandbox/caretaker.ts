import { spawn } from 'node:child_process'

/** Waits beside a sandbox to clear up after it. */
export interface Caretaker {
  /** It isn't needed: all is cleared already. */
  dismiss(): void
}

/**
 * Starts a small process that removes what a sandbox left outside if this process is killed: it finds
 * out by the end of its input. What is removed is `folder` and those of `paths` that are still empty,
 * as bubblewrap made them.
 * @param pid of bubblewrap: nothing is removed before it has ended
 */
export function keepClear({
  script,
  pid,
  folder,
  paths,
}: {
  script: string
  pid: number
  folder: string
  paths: readonly string[]
}): Caretaker {
  const child = spawn('/bin/sh', [script, String(pid), folder, ...paths], {
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    env: { PATH: '/usr/bin:/bin' },
    detached: true,
  })
  child.on('error', () => {})
  child.stdin.on('error', () => {})
  child.unref()
  return { dismiss: () => void child.stdin.end('dismissed\n') }
}

import { constants } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { CommandOutcome } from '../protocol/lifeline.ts'
import type { Child } from './child.ts'
import { findProcess } from './processes.ts'

/** What a terminal's keys send to the whole foreground group: the child has it already then. */
const FROM_KEYBOARD: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT']
const FORWARDED: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH']

/** Milliseconds: for the broker to hear of a stop, and for the child to have stopped. */
const SUSPEND_WITHIN = 500
const STOPPED_WITHIN = 2000
const LOOK_EVERY = 10

/**
 * Passes signals on to a child in this process's own group, so that each reaches it once; and stops
 * with it on Ctrl-Z. Called before the child is started: a signal that comes earlier than its
 * listener would end this process and leave the child.
 * @param started the child, once there is one; what comes before waits for it
 * @param suspend tells the broker that this process is about to stand still
 * @returns takes no more signals from then on
 */
export function passSignals(
  started: Promise<Child>,
  { suspend }: { suspend(): Promise<void> },
): Disposable {
  const pass = (name: NodeJS.Signals) => void started.then((child) => child.signal(name))
  const stop = () => {
    if (!inForeground()) pass('SIGTSTP')
    void started.then((child) => stopWith(child, { suspend, listener: stop }))
  }
  const listeners: [NodeJS.Signals, () => void][] = [
    ...FORWARDED.map((name): [NodeJS.Signals, () => void] => [name, () => pass(name)]),
    ...FROM_KEYBOARD.map((name): [NodeJS.Signals, () => void] => [
      name,
      () => inForeground() || pass(name),
    ]),
    ['SIGTSTP', stop],
  ]
  for (const [name, listener] of listeners) process.on(name, listener)
  return {
    [Symbol.dispose]() {
      for (const [name, listener] of listeners) process.off(name, listener)
    },
  }
}

/** Whether this process's group is the one that its terminal's keys signal. */
function inForeground(): boolean {
  const self = findProcess(process.pid)
  return self !== undefined && self.group === self.foreground
}

/**
 * Stops this process once the child has stopped: one that ignores Ctrl-Z goes on, and so does `jit`.
 * By the signal's own default, so that the kernel, as for any other program, does not stop a process
 * whose session nobody could continue (an orphaned process group, setpgid(2)).
 */
async function stopWith(
  child: Child,
  { suspend, listener }: { suspend(): Promise<void>; listener: () => void },
): Promise<void> {
  await Promise.race([suspend(), delay(SUSPEND_WITHIN)])
  if (!(await stopped(child))) return
  process.off('SIGTSTP', listener)
  process.kill(process.pid, 'SIGTSTP')
  // Continued: the shell has continued the child as well, in the same group.
  process.on('SIGTSTP', listener)
}

async function stopped(child: Child): Promise<boolean> {
  for (let waited = 0; waited < STOPPED_WITHIN; waited += LOOK_EVERY) {
    const found = findProcess(child.pid)
    if (!found) return false
    if (found.state.startsWith('T')) return true
    await delay(LOOK_EVERY)
  }
  return false
}

/**
 * Ends this process by the signal that ended its child, so that whoever waits sees the same. Node
 * ignores some signals (SIGPIPE) until a listener has come and gone.
 */
function dieOf(signal: NodeJS.Signals): void {
  if (signal !== 'SIGKILL' && signal !== 'SIGSTOP') {
    process.on(signal, () => {})
    process.removeAllListeners(signal)
  }
  process.kill(process.pid, signal)
}

/**
 * Ends as the child did: by its signal, else the exit code to end with. 128 + n is what is left where
 * a signal can't end this process.
 */
export function exitLike({ code, signal }: CommandOutcome): number {
  if (signal === null) return code ?? 0
  const name = signal as NodeJS.Signals
  dieOf(name)
  return 128 + (constants.signals[name] ?? 0)
}

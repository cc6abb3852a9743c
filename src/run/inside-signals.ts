/** What is passed on: a sandbox is no part of the terminal's foreground group, so its keys count here, too. */
const PASSED: readonly NodeJS.Signals[] = [
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGHUP',
  'SIGUSR1',
  'SIGUSR2',
  'SIGWINCH',
]

/**
 * Passes signals on to the command in a sandbox. Ctrl-Z does nothing: there is no job control inside,
 * and a supervisor that stands still loses the sandbox.
 * @param started the sandbox, once there is one; what comes before waits for it
 * @returns takes no more signals from then on
 */
export function passInside(started: Promise<{ signal(name: NodeJS.Signals): void }>): Disposable {
  const listeners: [NodeJS.Signals, () => void][] = [
    ...PASSED.map((name): [NodeJS.Signals, () => void] => [
      name,
      () => void started.then((sandbox) => sandbox.signal(name)).catch(() => {}),
    ]),
    ['SIGTSTP', () => {}],
  ]
  for (const [name, listener] of listeners) process.on(name, listener)
  return {
    [Symbol.dispose]() {
      for (const [name, listener] of listeners) process.off(name, listener)
    },
  }
}

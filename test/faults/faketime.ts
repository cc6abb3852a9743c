import { existsSync, globSync, writeFileSync } from 'node:fs'

/** Of Debian's package `faketime`: the wall clock of whatever is started with it is another one. */
const [LIBRARY] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1')

/** Whether clocks can't be moved here: in CI they have to be. */
export const noFaketime = !process.env.CI && LIBRARY === undefined

/** A process's wall clock, to be moved while it runs; monotonic timers go on as ever. */
export class WallClock {
  readonly env: Readonly<Record<string, string>>
  readonly #file: string

  /** @param file where the process finds how far its clock is off */
  constructor(file: string) {
    if (LIBRARY === undefined || !existsSync(LIBRARY)) throw new Error('faketime is not installed')
    this.#file = file
    this.env = {
      LD_PRELOAD: LIBRARY,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    }
    this.set(0)
  }

  /** @param seconds ahead of the real one, or behind it */
  set(seconds: number): void {
    writeFileSync(this.#file, `${seconds < 0 ? '' : '+'}${seconds}\n`)
  }
}

import type { Keystore } from '../keystore/keystore.ts'
import type { Clock } from '../lib/clock.ts'
import type { Paths } from '../lib/paths.ts'
import type { Io } from './io.ts'
import type { Prompt } from './prompt.ts'

/** Everything a command reaches the world through: tests fake these, never modules. */
export interface Deps {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly io: Io
  readonly clock: Clock
  readonly paths: Paths
  /** Opened once, on first use; a thunk because a keychain takes its time. */
  readonly keystore: () => Promise<Keystore>
  /** Questions to a person; fails where there is no terminal, naming the flag that answers instead. */
  readonly prompt: Prompt
  /** Opens a page in the person's browser; `false` where there is none. */
  readonly openBrowser: (url: URL) => Promise<boolean>
  /** What is to be done before the process ends, however it ends. Failures count for nothing. */
  readonly atExit: Set<() => Promise<void>>
  /** Aborted by the first Ctrl-C or TERM of a command that has no child to pass it to. */
  readonly interrupted: AbortSignal
}

import type { Escape } from './escape.ts'
import { afterwards } from './escapes/afterwards.ts'
import { credential } from './escapes/credential.ts'
import { files } from './escapes/files.ts'
import { kernelEscapes } from './escapes/kernel.ts'
import { linkEscapes } from './escapes/link.ts'
import { network } from './escapes/network.ts'
import { outliving } from './escapes/outliving.ts'
import { planting } from './escapes/planting.ts'
import { processes } from './escapes/processes.ts'
import { replay } from './escapes/replay.ts'
import { sockets } from './escapes/sockets.ts'

/** Everything that is tried, by what it goes for. */
export const ESCAPES: Readonly<Record<string, readonly Escape[]>> = {
  Files: files,
  Processes: processes,
  Sockets: sockets,
  Network: network,
  Kernel: kernelEscapes,
  Planting: planting,
  Link: linkEscapes,
  Credential: credential,
  Replay: replay,
  Afterwards: afterwards,
  Outliving: outliving,
}

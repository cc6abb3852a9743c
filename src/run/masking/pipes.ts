import { execFile } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The two ends of a pipe. */
export interface Pipe {
  readonly source: Readable
  /** A descriptor, for a child to write to. */
  readonly sink: number
}

/**
 * Makes pipes as pipe(2) does. Node has no call for it, and what it gives a child instead are sockets,
 * which a command can't open again: `> /dev/stdout` fails there. So these are FIFOs without a name.
 * @returns nothing where that isn't possible: no mkfifo(1), or nowhere to put them
 */
export async function makePipes(count: number): Promise<Pipe[] | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'jit-')).catch(() => undefined)
  if (folder === undefined) return undefined
  try {
    const paths = Array.from({ length: count }, (_, at) => join(folder, String(at)))
    await run('mkfifo', ['-m', '600', ...paths])
    return paths.map(openPipe)
  } catch {
    return undefined
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function openPipe(path: string): Pipe {
  const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants
  // In this order: neither waits for the other (fifo(7)).
  const end = openSync(path, O_RDONLY | O_NONBLOCK)
  const sink = openSync(path, O_WRONLY)
  return { source: new Socket({ fd: end, readable: true, writable: false }), sink }
}

/** Of one's own; the child's is left to it. */
export function closeSink({ sink }: Pipe): void {
  closeSync(sink)
}
